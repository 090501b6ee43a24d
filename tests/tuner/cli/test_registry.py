import csv
import json

import numpy as np
import pytest

from tests.tuner.in_process import blobs, finished_search, run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.registry import Registry, load

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A search of its own, since champions change here."""
    return run_search(tmp_path_factory.mktemp("own"), name="own")


@pytest.fixture
def model():
    return finished_search().model


def points(folder, **changes):
    raw = np.load(blobs(folder / "blobs.npz"))["x"][:20]
    np.save(folder / "x.npy", changes.get("x", raw))
    return raw


def test_predictions_keep_the_order_of_the_rows(tuner, here, model):
    raw = points(here)
    ran = tuner("predict", model, "x.npy", "--out", "p.csv", "--proba")
    assert ran.code == 0, ran.err
    assert "20 points to p.csv" in ran.out
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    loaded = load(model)
    assert [int(row["cluster"]) for row in rows] == loaded.predict(raw).tolist()
    proba = [[float(row[f"probability_{k}"]) for k in range(3)] for row in rows]
    np.testing.assert_allclose(proba, loaded.predict_proba(raw), atol=1e-6)


def test_predictions_go_to_parquet_unless_told_otherwise(tuner, here, model):
    import pyarrow.parquet as pq

    points(here)
    told = json.loads(tuner("predict", model, "x.npy", "--json").out)
    table = pq.read_table("prediction.parquet")
    assert table.column_names == ["cluster"]
    assert told == {
        "out": "prediction.parquet",
        "points": 20,
        "clusters": np.bincount(table["cluster"], minlength=3).tolist(),
    }


def test_a_column_that_is_no_feature_is_left_out(tuner, here, model):
    raw = points(here)
    lines = ["a,b,kind,c,d", *(f"{r[0]},{r[1]},x,{r[2]},{r[3]}" for r in raw)]
    (here / "x.csv").write_text("\n".join(lines))
    ran = tuner("predict", model, "x.csv", "--labels", "kind", "--out", "p.csv")
    assert ran.code == 0, ran.err
    ran = tuner("predict", model, "x.csv", "--out", "p.csv")
    assert ran.code == 3
    assert "column 'kind'" in ran.complaint


@pytest.mark.parametrize(
    ("x", "arguments", "code", "said"),
    [
        (np.ones((3, 5)), [], 3, "data of shape (3, 5) do not fit"),
        (np.full((3, 4), np.nan), [], 3, "holds nan in row 0, column 0"),
        (np.ones((0, 4)), [], 3, "holds no points"),
        (np.array([["a"] * 4]), [], 3, "not numbers"),
        (np.ones((3, 4)), ["--out", "p.txt"], 2, "end in .parquet or .csv"),
        (np.ones((3, 4)), ["--out", "."], 2, "end in .parquet or .csv"),
        (np.ones((3, 4)), ["--out", "no/p.csv"], 74, "cannot write no/p.csv"),
    ],
)
def test_points_that_do_not_fit_are_refused_and_nothing_is_written(
    tuner, here, model, x, arguments, code, said
):
    points(here, x=x)
    ran = tuner("predict", model, "x.npy", *arguments)
    assert said in ran.complaint
    assert ran.code == code
    assert sorted(path.name for path in here.iterdir()) == ["blobs.npz", "x.npy"]


@pytest.mark.parametrize("command", [["predict", "nope", "x.npy"], ["sample", "nope"]])
def test_a_model_that_is_not_there_is_refused(tuner, here, command):
    points(here)
    ran = tuner(*command)
    assert ran.code == 2
    assert "no folder 'nope': give models:/NAME@champion" in ran.complaint


def test_samples_are_a_picture_of_a_cluster_or_of_all(tuner, here):
    gmm = finished_search().other_model
    assert tuner("sample", gmm, "-k", 1, "-n", 7, "--out", "one.png").code == 0
    assert tuner("sample", gmm).code == 0
    for name in ("one.png", "samples.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")
    assert tuner("sample", gmm, "-k", 1, "-n", 7, "--seed", 3, "--out", "x.npy").code == 0
    drawn = np.load("x.npy")
    assert drawn.shape == (7, 4)
    np.testing.assert_array_equal(drawn, load(gmm).sample(1, 7, seed=3))
    told = json.loads(tuner("sample", gmm, "--json").out)
    assert told == {"out": "samples.png", "shape": [3, 12, 4]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "3"], "there is no cluster 3: choose one from 0 to 2"),
        (["-k", "-1"], "no cluster -1"),
        (["-n", "0"], "cannot draw 0 points"),
        (["--out", "a.jpg"], "end in .png or .npy"),
    ],
)
def test_samples_that_cannot_be_are_refused(tuner, here, arguments, said):
    gmm = finished_search().other_model
    ran = tuner("sample", gmm, *arguments)
    assert ran.code == 2
    assert said in ran.complaint
    assert not list(here.iterdir())


def test_a_registered_model_is_found_by_its_alias(tuner, here):
    points(here)
    uri = finished_search().locations.tracking_uri
    ran = tuner("predict", "models:/blobs@champion", "x.npy", "--tracking-uri", uri)
    assert ran.code == 0, ran.err
    ran = tuner("predict", "models:/blobs@champoin", "x.npy", "--tracking-uri", uri)
    assert ran.code == 2
    assert "did you mean 'champion'" in ran.complaint


def test_a_model_that_was_tampered_with_is_refused(tuner, here, model):
    import shutil

    points(here)
    shutil.copytree(model, here / "model")
    weights = here / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    ran = tuner("predict", "model", "x.npy")
    assert ran.code == 3
    assert "sha256" in ran.complaint


def test_a_model_that_cannot_sample_says_so(tuner, model):
    ran = tuner("sample", model)
    assert ran.code == 2
    assert "'kmeans' cannot draw new points" in ran.complaint


def test_promotion_is_by_the_rule_and_can_be_forced_and_rolled_back(tuner, here, done):
    registry = Registry(done.locations.tracking_uri)
    other = load(done.other_model)
    tags = {"search": "own", "data_fingerprint": _fingerprint(registry)}
    second = _registered(registry, other, tags)
    line = ["promote", "blobs", second, *done.flags]

    ran = tuner(*line)
    assert ran.code == 9
    assert f"version {second} of 'blobs' is ahead of version 1 in 0% of the draws" in ran.complaint
    assert registry.champion("blobs").number == 1

    told = json.loads(tuner(*line, "--force", "--json").out)
    assert told["promoted"]
    assert registry.champion("blobs").number == second
    assert "it was before" in tuner(*line).out

    back = tuner("rollback", "blobs", *done.flags[2:])
    assert "blobs version 1 is the champion again" in back.out
    assert registry.champion("blobs").number == 1
    assert not list(here.iterdir())


def test_versions_of_other_data_are_not_compared(tuner, done):
    registry = Registry(done.locations.tracking_uri)
    third = _registered(registry, load(done.model), {"search": "x", "data_fingerprint": "other"})
    ran = tuner("promote", "blobs", third, *done.flags)
    assert ran.code == 9
    assert "made on different data" in ran.complaint


def test_a_search_that_is_not_in_the_ledger_leaves_nothing_to_compare_on(tuner, done):
    registry = Registry(done.locations.tracking_uri)
    tags = {"search": "gone", "data_fingerprint": _fingerprint(registry)}
    fourth = _registered(registry, load(done.model), tags)
    ran = tuner("promote", "blobs", fourth, *done.flags)
    assert ran.code == 2
    assert "are not known here" in ran.complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "blob", "1"], "did you mean 'blobs'"),
        (["promote", "blobs", "99"], "no version 99"),
        (["rollback", "blob"], "did you mean 'blobs'"),
    ],
)
def test_a_model_or_version_that_is_not_there_is_refused(tuner, arguments, said, done):
    flags = done.flags if arguments[0] == "promote" else done.flags[2:]
    ran = tuner(*arguments, *flags)
    assert ran.code == 2
    assert said in ran.complaint


def test_nothing_to_roll_back_is_refused(tuner):
    ran = tuner("rollback", "blobs", *finished_search().flags[2:])
    assert ran.code == 2
    assert "nothing to roll back" in ran.complaint


@pytest.mark.parametrize("arguments", [["promote", "blobs", "1"], ["rollback", "blobs"]])
def test_asking_about_no_registry_creates_none(tuner, here, arguments):
    ran = tuner(*arguments)
    assert ran.code == 2
    assert "no registered model 'blobs'" in ran.complaint
    assert not list(here.iterdir())


def _fingerprint(registry):
    return registry.version("blobs", 1).tags["tuner.data_fingerprint"]


def _registered(registry, model, tags):
    run = registry.version("blobs", 1).run_id
    example = np.zeros((2, 4))
    made = registry.register(
        model, name="blobs", run_id=run, tags=tags, description="", example=example
    )
    return made.number
