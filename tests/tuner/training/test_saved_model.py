import json

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tuner import sabotage
from tests.tuner.fitted import fitted_model, raw_points
from tuner.data.encoding import ArrayEncoder
from tuner.data.preprocessor import Preprocessor
from tuner.data.scaling import Scaling
from tuner.errors import DataError, UsageError
from tuner.methods import catalog
from tuner.training.checkpoint import CheckpointError
from tuner.training.saved_model import Model


def untrained_model(name, **settings):
    method_type = catalog.method(name)
    config = method_type.config_type.from_mapping({"n_components": 4, **settings})
    clusterer = method_type(config, (8, 8), (5,)).clusterers()[0]
    scaling = Scaling(np.zeros(()), np.asarray(16.0))
    return Model(name, config, clusterer, Preprocessor(ArrayEncoder((8, 8)), scaling))


@pytest.fixture(scope="module")
def model():
    return fitted_model("gmm")


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_raw_data_are_scaled_before_the_clusterer_sees_them(model):
    raw = raw_points()
    scaled = torch.from_numpy(model.preprocessor.apply(raw))
    assert (model.predict(raw) == model.clusterer.predict(scaled).numpy()).all()
    assert model.predict(raw).dtype == np.int64
    assert np.allclose(model.predict_proba(raw).sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(model.predict(raw))) == 3
    assert model.embed(raw).shape[0] == len(raw)


def test_answers_come_back_in_raw_units(model):
    raw = raw_points()
    drawn = model.sample(int(model.predict(raw)[0]), 200, seed=1)
    assert drawn.shape == (200, 6)
    own = raw[model.predict(raw) == model.predict(raw)[0]]
    assert np.abs(drawn.mean(axis=0) - own.mean(axis=0)).max() < 2
    assert model.elbo(raw).shape == (len(raw),)


def test_reconstructions_come_back_in_raw_units(tmp_path):
    decoding = untrained_model("vae_gmm")
    raw = np.random.default_rng(0).uniform(0, 16, size=(10, 8, 8))
    scaled = torch.from_numpy(decoding.preprocessor.apply(raw))
    drawn = decoding.clusterer.reconstruct(scaled).detach().numpy().reshape(10, 8, 8)
    assert decoding.reconstruct(raw) == pytest.approx(16 * drawn, rel=1e-5)


def test_a_saved_model_decodes_if_its_settings_say_so(tmp_path):
    raw = np.random.default_rng(0).uniform(0, 16, size=(10, 8, 8))
    for keep in (False, True):
        untrained_model("dec", keep_decoder=keep).save(tmp_path / str(keep))
    plain, decoding = (Model.load(tmp_path / str(keep)) for keep in (False, True))
    drawn = decoding.reconstruct(raw)
    assert drawn.shape == raw.shape
    assert np.array_equal(drawn, untrained_model("dec", keep_decoder=True).reconstruct(raw))
    with pytest.raises(UsageError, match=r"'dec' cannot reconstruct .*keep_decoder=true or use"):
        plain.reconstruct(raw)


def test_traversals_come_back_in_raw_units():
    moving = untrained_model("gmvae")
    passed = moving.traverse(1, 5)
    assert passed.shape == (5, 8, 8)
    scaled = moving.clusterer.traverse(1, 5).numpy()
    assert passed == pytest.approx(16 * scaled.reshape(5, 8, 8), rel=1e-5)
    for cluster, steps, sentence in (
        (10**6, 5, "there is no cluster 1000000: choose one from 0 to 3"),
        (-1, 5, "there is no cluster -1: choose one from 0 to 3"),
        (0, 1, "cannot traverse in 1 steps: give a number of at least 2"),
    ):
        with pytest.raises(UsageError, match=sentence):
            moving.traverse(cluster, steps)


def test_the_seed_decides_what_is_drawn(model):
    assert (model.sample(0, 5, seed=1) == model.sample(0, 5, seed=1)).all()
    assert (model.sample(0, 5, seed=1) != model.sample(0, 5, seed=2)).any()


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float32),
        lambda x: x.astype(">f8"),
        lambda x: np.asfortranarray(x),
        lambda x: x.tolist(),
        pd.DataFrame,
        torch.from_numpy,
    ],
)
def test_numbers_are_taken_in_any_form(model, form):
    raw = raw_points()
    assert (model.predict(form(raw)) == model.predict(raw)).all()


def test_integers_are_numbers(model):
    whole = raw_points().round()
    assert (model.predict(whole.astype(np.int64)) == model.predict(whole)).all()


@pytest.mark.parametrize("shape", [(2, 3), (6,), (2, 3, 1), (1, 2, 3)])
def test_points_may_be_flat_or_have_axes_of_length_one(shape):
    shaped = fitted_model("kmeans", (2, 3))
    raw = raw_points(shape=(2, 3))
    assert (shaped.predict(raw.reshape(-1, *shape)) == shaped.predict(raw)).all()


def test_one_point_and_many_points_are_answered(model):
    raw = raw_points()
    assert model.predict(raw[:1]).shape == (1,)
    many = np.tile(raw, (30, 1))
    assert (model.predict(many) == np.tile(model.predict(raw), 30)).all()


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.zeros(6), r"shape \(6,\).*shape \(N, 6\)"),
        (np.zeros((4, 5)), r"shape \(4, 5\)"),
        (np.zeros((0, 6)), r"shape \(0, 6\)"),
        (np.zeros((4, 3, 2)), r"shape \(4, 3, 2\)"),
        (np.zeros((2, 6), dtype=complex), "complex128 are not numbers"),
        (np.full((2, 6), "a"), "not numbers"),
        (np.full((2, 6), None), "row 0"),
        ([[1.0, 2.0], [3.0]], "ragged"),
        (np.where(np.arange(12).reshape(2, 6) == 7, np.nan, 0.0), "row 1"),
        (np.where(np.arange(12).reshape(2, 6) == 1, np.inf, 0.0), "row 0"),
        (np.full((2, 6), 1e300), "row 0"),
    ],
)
def test_data_that_do_not_fit_are_refused_with_a_sentence(model, bad, sentence):
    with pytest.raises(DataError, match=sentence):
        model.predict(bad)


def test_a_bad_row_is_counted_over_all_chunks(model):
    raw = np.tile(raw_points(), (20, 1))
    raw[5001, 2] = np.nan
    with pytest.raises(DataError, match="row 5001"):
        model.predict(raw)


def test_an_unsupported_capability_is_an_error():
    plain = fitted_model("kmeans")
    for task in (
        lambda: plain.sample(0, 1),
        lambda: plain.traverse(0, 5),
        lambda: plain.elbo(raw_points()),
    ):
        with pytest.raises(UsageError, match="'kmeans' cannot"):
            task()


@pytest.mark.parametrize(
    ("cluster", "n", "sentence"),
    [
        (3, 1, "there is no cluster 3: choose one from 0 to 2"),
        (-1, 1, "there is no cluster -1: choose one from 0 to 2"),
        (0, 0, "cannot draw 0 points: give a number of at least 1"),
    ],
)
def test_impossible_draws_are_refused(model, cluster, n, sentence):
    with pytest.raises(UsageError, match=sentence):
        model.sample(cluster, n)


def test_a_saved_model_answers_alike(model, saved):
    loaded = Model.load(saved)
    raw = raw_points()
    assert (loaded.predict_proba(raw) == model.predict_proba(raw)).all()
    assert (loaded.sample(1, 4, seed=3) == model.sample(1, 4, seed=3)).all()
    assert loaded.config == model.config
    assert loaded.shape == model.shape
    assert not loaded.labels_used
    assert {path.name for path in saved.iterdir()} == {
        "manifest.json",
        "model.json",
        "weights.safetensors",
    }


def test_the_use_of_labels_is_saved(tmp_path):
    fitted_model("kmeans", labels_used=True).save(tmp_path / "model")
    assert Model.load(tmp_path / "model").labels_used


@pytest.mark.parametrize("name", catalog.names())
def test_every_method_can_be_saved_and_loaded(name, tmp_path):
    model = untrained_model(name)
    model.save(tmp_path / "model")
    state = torch.random.get_rng_state()
    loaded = Model.load(tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), state)
    raw = np.random.default_rng(0).uniform(0, 16, size=(10, 8, 8))
    assert np.array_equal(loaded.predict_proba(raw), model.predict_proba(raw), equal_nan=True)


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "manifest.json"])
def test_tampering_is_detected(saved, damage, name):
    damage(saved / name)
    with pytest.raises(CheckpointError):
        Model.load(saved)


def test_hostile_weights_are_not_unpickled(saved, tmp_path):
    marker = tmp_path / "marker"
    (saved / "weights.safetensors").write_bytes(sabotage.hostile_pickle(marker))
    sabotage.sign(saved)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        Model.load(saved)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "upgrade tuner"),
        ({"schema": None}, "schema None"),
        ({"method": "gmn"}, "did you mean 'gmm'"),
        ({"method": "../secret"}, "no method"),
        ({"method": "theirs", "distribution": "others"}, "'others', which is not installed"),
        ({"config": {"n_components": 3, "speed": 1}}, "no setting 'speed'"),
        ({"config": {"n_components": 1}}, "n_components=1 is out of range"),
        ({"config": None}, "not describe a usable model"),
        ({"config": {"n_components": 4}}, "not torch.float32"),
        ({"shape": [7]}, "not torch.float32"),
        ({"shape": []}, "not a list of sizes"),
        ({"shape": [-6]}, "not a list of sizes"),
    ],
)
def test_a_document_that_is_wrong_is_refused(saved, change, sentence):
    document = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps(document | change))
    sabotage.sign(saved)
    with pytest.raises(CheckpointError, match=sentence):
        Model.load(saved)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop(sorted(n for n in t if n.startswith("weights/"))[0]), "missing or unk"),
        (lambda t: t.update({"weights/extra": torch.zeros(1)}), "extra"),
        (lambda t: t.update({n: v.double() for n, v in t.items()}), "not torch.float32"),
        (lambda t: t.pop("scaling/shift"), "lacks 'shift'"),
        (lambda t: t.update({"scaling/scale": torch.zeros(6)}), "not positive"),
        (lambda t: t.update({"scaling/scale": torch.ones(5)}), "not describe a usable model"),
    ],
)
def test_tensors_that_do_not_belong_are_refused(saved, change, sentence):
    import safetensors.torch

    tensors = safetensors.torch.load((saved / "weights.safetensors").read_bytes())
    change(tensors)
    (saved / "weights.safetensors").write_bytes(safetensors.torch.save(tensors))
    sabotage.sign(saved)
    with pytest.raises(CheckpointError, match=sentence):
        Model.load(saved)
