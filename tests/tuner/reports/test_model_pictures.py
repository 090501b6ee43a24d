"""Which pictures a model gets, and that a failing picture affects nothing else."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import image

from tests.tuner.fitted import fitted_model, raw_points
from tuner.data.dataset import Dataset
from tuner.data.encoding import ArrayEncoder
from tuner.data.preprocessor import Preprocessor
from tuner.data.scaling import Scaling
from tuner.models.gmvae.method import GMVAE, GMVAEConfig
from tuner.reports import model_pictures
from tuner.training.evaluations import Evaluation
from tuner.training.saved_model import Model

SMALL = GMVAEConfig(
    n_components=3,
    code_size=4,
    style_size=2,
    hidden_size=8,
    prior_hidden_size=4,
    likelihood="gaussian",
    information_threshold=0.5,
)
CURVE = [
    Evaluation(epoch=1, passes=3, stage="pretraining", value=None, metrics={"train/loss": 3.0}),
    *(
        Evaluation(
            epoch=epoch,
            passes=3,
            stage="train",
            value=0.5,
            metrics={"train/loss": 2.0, "train/z_prior": 0.3 * epoch, "audit/hungarian": 0.8},
            replicas=(0.4, 0.6),
        )
        for epoch in (2, 3)
    ),
    Evaluation(epoch=4, passes=3, stage="failed", value=None, finished=True, failure="oom"),
]
ALWAYS_DRAWN = {"codes.png", "curves.png"}


def data(shape=(6,), *, n=60, labelled=True) -> Dataset:
    raw = raw_points(n, shape)
    scaling = Scaling(raw.mean(axis=0), np.maximum(raw.std(axis=0), 1))
    preprocessor = Preprocessor(ArrayEncoder(raw.shape[1:]), scaling)
    scaled = preprocessor.apply(raw)
    labels = np.arange(n) % 2 if labelled else None
    return Dataset("blobs", scaled, scaled, labels, labels, ("a", "b"), preprocessor, "f" * 64)


def gmvae(shape, *, spoil=None) -> Model:
    method = GMVAE(SMALL, shape, (0,))
    if spoil is not None:
        with torch.no_grad():
            for name, parameter in method.parameters():
                if spoil in name:
                    parameter.fill_(math.nan)
    (clusterer,) = method.clusterers()
    scaling = Scaling(np.zeros(()), np.ones(()))
    return Model("gmvae", SMALL, clusterer, Preprocessor(ArrayEncoder(shape), scaling))


def drawn(model, dataset, folder, curve=CURVE):
    faults = model_pictures.draw(model, dataset, curve, folder)
    assert faults == []
    found = {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        pixels = image.imread(path)
        assert pixels[..., :3].std() > 0.02, f"{path.name} is blank"
        assert max(pixels.shape) < 3000
    return found


def test_colour_images_have_members_samples_and_traversals(tmp_path):
    shape = (3, 8, 8)
    images = {"members.png", "samples.png", "traversals.png"}
    found = drawn(gmvae(shape), data(shape), tmp_path)
    assert found == ALWAYS_DRAWN | images | {"z_prior.png", "confusion.png"}


def test_two_dimensional_points_get_a_scatter_plot(tmp_path):
    found = drawn(gmvae((2,)), data((2,)), tmp_path)
    assert "scatter.png" in found
    assert "members.png" not in found


def test_a_method_without_a_capability_has_no_such_picture(tmp_path):
    assert drawn(fitted_model("kmeans"), data(), tmp_path / "kmeans") == ALWAYS_DRAWN | {
        "confusion.png"
    }
    found = drawn(fitted_model("gmm"), data(), tmp_path / "gmm")
    assert found == ALWAYS_DRAWN | {"confusion.png", "samples.png"}


def test_without_labels_no_labels_are_drawn(tmp_path, monkeypatch):
    assert drawn(fitted_model("kmeans"), data(labelled=False), tmp_path) == ALWAYS_DRAWN
    panels = shown(tmp_path, fitted_model("kmeans"), data(labelled=False), monkeypatch)
    assert [axes.get_title() for axes in panels["codes.png"].axes] == ["clusters"]
    panels = shown(tmp_path, fitted_model("kmeans"), data(), monkeypatch)
    titles = [axes.get_title() for axes in panels["codes.png"].axes]
    assert titles == ["clusters", "labels (for the audit only)"]


def shown(folder, model, dataset, monkeypatch, curve=CURVE):
    """Return the figures by name in place of their files."""
    figures = {}
    monkeypatch.setattr(
        model_pictures.plots, "save", lambda figure, path: figures.update({path.name: figure})
    )
    assert model_pictures.draw(model, dataset, curve, folder) == []
    return figures


def test_curves_show_all_metrics_that_training_reported(tmp_path, monkeypatch):
    figures = shown(tmp_path, gmvae((6,)), data(), monkeypatch)
    panels = {axes.get_title(): axes for axes in figures["curves.png"].axes}
    assert list(panels) == ["score", "audit/hungarian", "train/loss", "train/z_prior"]
    assert panels["train/loss"].lines[0].get_xdata().tolist() == [1, 2, 3]
    assert panels["train/loss"].get_ylabel() == "nats, mean of replicas"
    assert len(panels["score"].lines) == 2
    texts = [t.get_text() for t in figures["curves.png"].legends[0].get_texts()]
    assert texts == ["replica 0", "replica 1", "stage pretraining", "stage train"]


def test_the_z_term_is_drawn_against_its_threshold_and_log_k(tmp_path, monkeypatch):
    (axes,) = shown(tmp_path, gmvae((6,)), data(), monkeypatch)["z_prior.png"].axes
    levels = {line.get_label(): line.get_ydata()[0] for line in axes.lines[1:]}
    assert levels == pytest.approx({"log K": math.log(3), "threshold λ": 0.5 * math.log(3)})
    assert axes.lines[0].get_ydata()[1:].tolist() == pytest.approx([0.6, 0.9])
    assert axes.get_ylabel() == "nats, mean of replicas"
    model = gmvae((6,))
    model.config = replace(SMALL, information_threshold=0.0)
    (axes,) = shown(tmp_path, model, data(), monkeypatch)["z_prior.png"].axes
    assert [line.get_label() for line in axes.lines[1:]] == ["log K"]


def test_the_same_model_has_the_same_pictures(tmp_path):
    for name in ("one", "two"):
        drawn(gmvae((8, 8)), data((8, 8), n=30), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_few_points_or_no_evaluations_are_enough(tmp_path):
    found = drawn(gmvae((8, 8)), data((8, 8), n=10), tmp_path / "few")
    assert "codes.png" in found
    assert "codes.png" in drawn(gmvae((6,)), data(n=1), tmp_path / "one")
    found = drawn(gmvae((6,)), data(), tmp_path / "none", curve=[])
    assert not {"curves.png", "z_prior.png"} & found


def test_one_cluster_in_use_and_constant_codes_are_drawn(tmp_path):
    method = GMVAE(SMALL, (8, 8), (0,))
    with torch.no_grad():
        for name, parameter in method.parameters():
            if "components_head" in name or name.startswith("network.heads"):
                parameter.zero_()
    (clusterer,) = method.clusterers()
    preprocessor = Preprocessor(ArrayEncoder((8, 8)), Scaling(np.zeros(()), np.ones(())))
    model = Model("gmvae", SMALL, clusterer, preprocessor)
    raw = data((8, 8)).preprocessor.invert(data((8, 8)).test)
    assert set(model.predict(raw)) == {0}
    assert np.ptp(model.embed(raw), axis=0).max() == 0
    assert {"codes.png", "members.png", "confusion.png"} <= drawn(model, data((8, 8)), tmp_path)


@pytest.mark.parametrize("spoil", ["heads", "decoder"])
def test_a_model_of_nans_loses_only_pictures(spoil, tmp_path):
    faults = model_pictures.draw(gmvae((8, 8), spoil=spoil), data((8, 8)), CURVE, tmp_path)
    assert all(fault.startswith("traversals.png was not drawn (") for fault in faults)
    assert (tmp_path / "curves.png").exists()


def test_codes_that_are_not_finite_are_left_out(tmp_path, monkeypatch):
    model, dataset = fitted_model("kmeans"), data()
    embed = model.embed

    def odd(raw):
        codes = embed(raw)
        codes[::3] = math.nan
        return codes

    monkeypatch.setattr(model, "embed", odd)
    figure = shown(tmp_path, model, dataset, monkeypatch)["codes.png"]
    assert "codes of 40 test points" in figure.get_suptitle()
    monkeypatch.setattr(model, "embed", lambda raw: embed(raw) * math.nan)
    assert "codes.png" not in shown(tmp_path, model, dataset, monkeypatch)


def test_a_picture_that_fails_is_reported_and_the_others_are_drawn(tmp_path, monkeypatch):
    model = fitted_model("gmm")
    monkeypatch.setattr(model, "sample", lambda *_: 1 / 0)
    faults = model_pictures.draw(model, data(), CURVE, tmp_path)
    assert faults == ["samples.png was not drawn (ZeroDivisionError: division by zero)"]
    assert (tmp_path / "confusion.png").exists()
    (tmp_path / "file").touch()
    faults = model_pictures.draw(model, data(), CURVE, tmp_path / "file")
    assert len(faults) == 4
    assert "choose a writable folder" in faults[0]
    monkeypatch.setattr(GMVAEConfig, "metric_info", lambda self: 1 / 0)
    faults = model_pictures.draw(gmvae((6,)), data(), CURVE, tmp_path)
    assert faults == ["the remaining pictures were skipped (ZeroDivisionError: division by zero)"]
