import itertools
import json
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.tuner import sabotage
from tests.tuner.fitted import fitted_model, raw_points
from tests.tuner.mlflow_store import OLD_LOADER, free_port, server
from tuner.errors import PromotionRefusedError, ServiceError, UsageError
from tuner.registry import Registry, bundle, load
from tuner.tracking import connect
from tuner.tracking.connection import get_or_create_experiment
from tuner.training.checkpoint import CheckpointError

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

names = (f"model-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def run_id(uri):
    client, files = connect(uri), Path("never-used")
    experiment = get_or_create_experiment(client, uri, "blobs", files=files)
    return client.create_run(experiment).info.run_id


@pytest.fixture(scope="module")
def model():
    return fitted_model("gmm")


@pytest.fixture
def name():
    return next(names)


@pytest.fixture
def registry(uri):
    return Registry(uri)


def registered(registry, model, run_id, name, search="search"):
    return registry.register(
        model,
        name=name,
        run_id=run_id,
        tags={"search": search, "trial": 3, "interval": "0.81 to 0.86"},
        metrics={"score/champion": 0.5},
        data=("points", "f" * 64),
        description="# A card",
        example=raw_points()[:3],
    )


@pytest.fixture
def register(registry, model, run_id, name):
    return partial(registered, registry, model, run_id, name)


@pytest.fixture(scope="module")
def champion(uri, model, run_id):
    """Return a registered champion, which tests must not change."""
    registry = Registry(uri)
    version = registered(registry, model, run_id, "the-champion")
    registry.promote(version.name, version.number, expected=None)
    return version


@pytest.fixture
def bare_versions(uri, name):
    """Return a function that creates versions without files, as aliases need none."""

    def make(n):
        client = connect(uri)
        client.create_registered_model(name)
        for _ in range(n):
            client.create_model_version(name, "file:///nowhere")

    return make


def files_of(registry, version):
    return Path(registry.location(version).removeprefix("file://"))


def test_a_registered_model_predicts_like_the_original(
    uri, registry, register, model, name, run_id
):
    version = register()
    assert (version.number, version.uri) == (1, f"models:/{name}/1")
    assert version.run_id == run_id
    assert version.description == "# A card"
    assert version.tags["tuner.interval"] == "0.81 to 0.86"
    assert version.aliases == ()
    loaded = load(version.uri, tracking_uri=uri)
    raw = raw_points()
    assert (loaded.predict_proba(raw) == model.predict_proba(raw)).all()


def test_the_run_shows_the_model(uri, register, run_id, name):
    register()
    outputs = connect(uri).get_run(run_id).outputs.model_outputs
    logged = [connect(uri).get_logged_model(output.model_id) for output in outputs]
    (own,) = [each for each in logged if each.name == name]
    assert own.status == "READY"
    assert own.params["n_components"] == "3"
    assert own.params["method"] == "gmm"


def test_the_model_leads_to_its_version_its_data_and_its_run(uri, register, run_id, name):
    version = register()
    outputs = connect(uri).get_run(run_id).outputs.model_outputs
    logged = [connect(uri).get_logged_model(output.model_id) for output in outputs]
    (own,) = [each for each in logged if each.name == name]
    assert json.loads(own.tags["mlflow.modelVersions"]) == [
        {"name": name, "version": version.number}
    ]
    (metric,) = own.metrics
    assert (metric.key, metric.value, metric.run_id) == ("score/champion", 0.5, run_id)
    assert (metric.dataset_name, metric.dataset_digest) == ("points", "ffffffff")
    assert own.source_run_id == run_id


def test_the_same_model_of_a_search_is_registered_once(registry, register, name):
    assert register().number == register().number == 1
    assert register("another search").number == 2
    assert [version.number for version in registry.versions(name)] == [2, 1]


def test_invalid_names_are_refused(registry, model, run_id):
    for bad in ("a/b", "", "ä", "x" * 65, ".hidden", "x.promotion"):
        with pytest.raises(UsageError, match="is not a valid model name"):
            registry.register(
                model,
                name=bad,
                run_id=run_id,
                tags={},
                metrics={},
                data=("points", "f" * 64),
                description="",
                example=raw_points()[:1],
            )


def test_the_first_champion_needs_no_comparison(registry, bare_versions, name):
    assert registry.champion(name) is None
    bare_versions(1)
    registry.promote(name, 1, expected=None)
    champion = registry.champion(name)
    assert champion is not None
    assert champion.number == 1
    assert champion.aliases == ("champion",)


def test_promotion_keeps_the_previous_champion(registry, bare_versions, name):
    bare_versions(3)
    registry.promote(name, 1, expected=None)
    registry.set_challenger(name, 3)
    assert registry.version_by_alias(name, "challenger").number == 3
    registry.promote(name, 3, expected=1)
    assert registry.version(name, 3).aliases == ("champion",)
    assert registry.version(name, 1).aliases == ("previous",)


def test_a_challenger_compared_with_another_champion_is_refused(registry, bare_versions, name):
    bare_versions(3)
    registry.promote(name, 2, expected=None)
    for expected in (None, 1):
        with pytest.raises(PromotionRefusedError, match="champion is now version 2") as caught:
            registry.promote(name, 3, expected=expected)
        assert caught.value.exit_code == 9
    assert registry.champion(name).number == 2


def test_promoting_the_champion_changes_nothing(registry, bare_versions, name):
    bare_versions(1)
    registry.promote(name, 1, expected=None)
    registry.promote(name, 1, expected=1)
    assert registry.version(name, 1).aliases == ("champion",)


def test_rollback_swaps_champion_and_previous(registry, bare_versions, name):
    bare_versions(2)
    with pytest.raises(UsageError, match="nothing to roll back"):
        registry.rollback(name)
    registry.promote(name, 1, expected=None)
    with pytest.raises(UsageError, match="nothing to roll back"):
        registry.rollback(name)
    registry.promote(name, 2, expected=1)
    assert registry.rollback(name).number == 1
    assert registry.version_by_alias(name, "previous").number == 2
    assert registry.rollback(name).number == 2


def test_only_one_of_eight_concurrent_promotions_succeeds(uri, registry, bare_versions, name):
    bare_versions(8)
    outcomes, start = [], threading.Barrier(8)

    def promote(number):
        own = Registry(uri)
        start.wait()
        try:
            own.promote(name, number, expected=None)
            outcomes.append(number)
        except PromotionRefusedError:
            outcomes.append(None)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    (winner,) = [number for number in outcomes if number is not None]
    assert len(outcomes) == 8
    assert registry.champion(name).number == winner
    assert not connect(uri).get_registered_model(name).tags


def test_the_locks_of_earlier_versions_are_no_models(uri, registry):
    connect(uri).create_registered_model("old.promotion", tags={"tuner.token": "dead"})
    assert "old.promotion" not in registry.names()


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.remove])
def test_an_incomplete_upload_is_not_registered(
    uri, registry, register, name, run_id, monkeypatch, damage
):
    real = bundle.fetch

    def cut_upload(location, into, *, uri):
        damage(next(Path(location.removeprefix("file://")).rglob("weights.safetensors")))
        return real(location, into, uri=uri)

    monkeypatch.setattr(bundle, "fetch", cut_upload)
    with pytest.raises(ServiceError, match="register the model again"):
        register()
    monkeypatch.undo()
    assert name not in registry.names()
    client = connect(uri)
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert [model.status for model in models if model.name == name] == ["FAILED"]
    assert register().number == 1


def test_a_version_that_was_tampered_with_is_refused(uri, registry, register):
    version = register()
    folder = next(files_of(registry, version).rglob("model.json")).parent
    for file in ("weights.safetensors", "model.json"):
        sabotage.flip(folder / file)
        with pytest.raises(CheckpointError, match="changed"):
            load(version.uri, tracking_uri=uri)
        sabotage.flip(folder / file)
    assert load(version.uri, tracking_uri=uri).n_components == 3


def test_planted_pickles_are_not_loaded(uri, registry, register, tmp_path):
    version = register()
    weights = next(files_of(registry, version).rglob("weights.safetensors"))
    weights.write_bytes(sabotage.hostile_pickle(tmp_path / "marker"))
    sabotage.sign(weights.parent)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(version.uri, tracking_uri=uri)
    assert not (tmp_path / "marker").exists()


def test_a_model_is_found_by_every_kind_of_uri(uri, registry, champion, model, run_id, tmp_path):
    model.save(tmp_path / "folder with space")
    connect(uri).log_artifacts(run_id, str(tmp_path / "folder with space"), "best")
    places = [
        f"models:/{champion.name}@champion",
        f"models:/{champion.name}/1",
        f"models:/{champion.name}",
        f"runs:/{run_id}/best",
        tmp_path / "folder with space",
        (tmp_path / "folder with space").as_uri(),
        files_of(registry, champion),
    ]
    raw = raw_points()
    for place in places:
        loaded = load(place, tracking_uri=uri)
        assert (loaded.predict(raw) == model.predict(raw)).all()


def test_the_tracking_uri_defaults_to_the_environment_variable(uri, champion, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert load(champion.uri).n_components == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("models:/the-champio/1", "did you mean 'the-champion'"),
        ("models:/the-champion@champio", r"did you mean 'champion'\?; existing aliases: champion"),
        ("models:/the-champion@nothing", "no alias 'nothing'"),
        ("models:/the-champion/7", "existing versions: 1"),
        ("models:/the-champion/latest", "give models:/NAME@champion"),
        ("models:/", "give models:/NAME@champion"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "nothing found at 'runs:/0123"),
        ("/nowhere/at/all", "is not a folder"),
        ("s3://user:c4n4ry@bucket/model", "cannot load"),
    ],
)
def test_a_uri_without_a_model_is_a_usage_error(uri, champion, address, message):
    with pytest.raises(UsageError, match=message) as caught:
        load(address, tracking_uri=uri)
    assert "c4n4ry" not in str(caught.value)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    (tmp_path / "document.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match=r"contains no model\.json"):
        load(tmp_path)


def test_loading_a_model_creates_no_database(tmp_path):
    with pytest.raises(UsageError, match="set MLFLOW_TRACKING_URI"):
        load("models:/digits@champion", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_stored_files_contain_no_path_of_this_machine(registry, champion):
    root = str(Path(__file__).parents[3])
    for path in files_of(registry, champion).rglob("*"):
        if path.is_file():
            assert root.encode() not in path.read_bytes()


def test_the_example_is_stored(registry, champion):
    stored = next(files_of(registry, champion).rglob("input_example.json"))
    assert np.allclose(json.loads(stored.read_text()), raw_points()[:3])


@pytest.mark.slow
def test_a_server_stores_and_loads_what_a_database_does(model, tmp_path, capfd):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with server(tmp_path, port):
        registry, client = Registry(address), connect(address)
        experiment = get_or_create_experiment(client, address, "blobs", files=tmp_path)
        run = client.create_run(experiment).info.run_id
        for number, search in enumerate("ab", 1):
            assert registered(registry, model, run, "digits", search).number == number
        assert "Waiting up to" not in capfd.readouterr().err
        registry.set_challenger("digits", 1)
        registry.promote("digits", 1, expected=None)
        with pytest.raises(PromotionRefusedError):
            registry.promote("digits", 2, expected=None)
        registry.promote("digits", 2, expected=1)
        assert registry.rollback("digits").number == 1
        raw = raw_points()
        for place in ("models:/digits@champion", "models:/digits/2"):
            loaded = load(place, tracking_uri=address)
            assert (loaded.predict(raw) == model.predict(raw)).all()
        assert registry.names() == ["digits"]
        with pytest.raises(UsageError, match="did you mean 'digits'"):
            load("models:/digit", tracking_uri=address)
