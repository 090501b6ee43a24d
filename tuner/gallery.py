"""The pictures of one trained model, drawn into a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import pictures
from .method import Generates

if TYPE_CHECKING:
    from .data import Dataset
    from .model import Model
    from .trial import Evaluation

_MOST_POINTS = 2_000
_PER_CLUSTER = 12


def draw(
    model: "Model", dataset: "Dataset", evaluations: Sequence["Evaluation"], folder: Path
) -> Path:
    """Draw curves, members and samples per cluster, and what labels say; return the folder."""
    raw = dataset.scaling.invert(dataset.test)
    shown = raw[:_MOST_POINTS]
    proba = model.predict_proba(shown)
    _draw_curves(evaluations, folder)
    if pictures.is_image(model.shape):
        pictures.save(pictures.members(shown, proba), folder / "members.png")
        if isinstance(model.clusterer, Generates):
            drawn = [model.sample(k, _PER_CLUSTER) for k in range(model.n_components)]
            pictures.save(pictures.samples(np.stack(drawn)), folder / "samples.png")
    labels = dataset.test_labels
    if raw[0].size == 2:
        points = shown.reshape(len(shown), 2)
        known = None if labels is None else labels[:_MOST_POINTS]
        figure = pictures.scatter(
            points, proba.argmax(axis=1), labels=known, label_names=dataset.label_names
        )
        pictures.save(figure, folder / "scatter.png")
    if labels is not None:
        figure = pictures.confusion(
            model.predict(raw),
            labels,
            n_components=model.n_components,
            label_names=dataset.label_names,
        )
        pictures.save(figure, folder / "confusion.png")
    return folder


def _draw_curves(evaluations: Sequence["Evaluation"], folder: Path) -> None:
    scored = [e for e in evaluations if e.replicas]
    if not scored:
        return
    epochs = np.array([e.epoch for e in scored])
    lines = {"score": np.array([e.replicas for e in scored])}
    names = sorted(
        {n for e in scored for n in e.metrics if n.startswith(("train/", "audit/hung"))}
    )
    for name in names:
        lines[name] = np.array([e.metrics.get(name, np.nan) for e in scored])
    pictures.save(pictures.curves(epochs, lines), folder / "curves.png")
