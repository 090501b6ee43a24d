"""The pictures of one trained model, drawn into a folder."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..methods.config import MetricInfo
from ..methods.contract import Generates, Traverses
from . import plots as pictures
from .plots import planes

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training.saved_model import Model
    from ..training.trial import Evaluation

_MOST_POINTS = 2_000
_PER_CLUSTER = 12
_STEPS = 11  # of a line of styles: its middle is one of them
_TRAIN = "train/"
_ACCURACY = "audit/hungarian"

Array = NDArray[Any]
Sketch = tuple[str, Callable[[], Figure | None]]


def draw(
    model: "Model", dataset: "Dataset", evaluations: Sequence["Evaluation"], folder: Path
) -> list[str]:
    """Draw all that can be drawn of a model; return sentences on what could not.

    No picture is worth a training: a fault, or a disk that is full, costs that picture alone.
    """
    faults: list[str] = []
    try:
        for name, sketch in _sketches(_Subject(model, dataset), evaluations):
            faults += _drawn(sketch, folder / name)
    except Exception as error:  # of what says which pictures there are
        faults.append(f"the pictures were left out ({type(error).__name__}: {error})")
    return faults


def _drawn(sketch: Callable[[], Figure | None], path: Path) -> list[str]:
    try:
        figure = sketch()
        if figure is not None:
            pictures.save(figure, path)
    except Exception as error:
        return [f"{path.name} was not drawn ({type(error).__name__}: {error})"]
    return []


def _sketches(subject: "_Subject", evaluations: Sequence["Evaluation"]) -> Iterator[Sketch]:
    """Yield the pictures' names, and what draws them: None where there is nothing to see."""
    model, dataset = subject.model, subject.dataset
    read = {f"{_TRAIN}{name}": curve for name, curve in model.config.metric_info().items()}
    yield "curves.png", partial(_curves, evaluations, read)
    for name, curve in read.items():
        if curve.levels:
            alone = partial(_curves, evaluations, {name: curve}, [name])
            yield f"{name.removeprefix(_TRAIN)}.png", alone
    if pictures.is_image(model.shape):
        yield "members.png", subject.members
    if isinstance(model.clusterer, Generates):
        yield "samples.png", subject.samples
    if isinstance(model.clusterer, Traverses):
        yield "traversals.png", subject.traversals
    if math.prod(model.shape) == 2:
        yield "scatter.png", subject.scatter
    yield "codes.png", partial(subject.codes, "t-SNE", planes.tsne)
    if planes.has_umap():
        yield "codes_umap.png", partial(subject.codes, "UMAP", planes.umap)
    if dataset.test_labels is not None:
        yield "confusion.png", partial(subject.confusion, dataset.test_labels)


@final
class _Subject:
    """A model and test points that it is shown with; labels are for audits alone."""

    def __init__(self, model: "Model", dataset: "Dataset") -> None:
        self.model, self.dataset = model, dataset
        order = np.random.default_rng(0).permutation(len(dataset.test))
        self.index = np.sort(order[:_MOST_POINTS])

    @cached_property
    def shown(self) -> NDArray[np.float32]:
        """Return the points shown, raw."""
        return self.dataset.scaling.invert(self.dataset.test[self.index])

    @cached_property
    def proba(self) -> NDArray[np.float32]:
        """Return p(cluster | point) of the points shown."""
        return self.model.predict_proba(self.shown)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Return the labels of the points shown, if there are any."""
        labels = self.dataset.test_labels
        return None if labels is None else labels[self.index]

    def members(self) -> Figure:
        """Draw points of each cluster."""
        return pictures.members(self.shown, self.proba)

    def samples(self) -> Figure:
        """Draw new points of each cluster."""
        K = range(self.model.n_components)
        drawn = np.stack([self.model.sample(k, _PER_CLUSTER) for k in K])
        return _sheet(drawn, pictures.samples, "drawn from each cluster")

    def traversals(self) -> Figure:
        """Draw each cluster's points on the way along a line of styles."""
        K = range(self.model.n_components)
        passed = np.stack([self.model.traverse(k, _STEPS) for k in K])
        return _sheet(passed, pictures.traversals, "each cluster along its line of styles")

    def scatter(self) -> Figure:
        """Draw points in the plane, where they are."""
        return pictures.scatter(
            self.shown.reshape(-1, 2),
            self.proba.argmax(axis=1),
            labels=self.labels,
            label_names=self.dataset.label_names,
        )

    def codes(self, name: str, to_plane: Callable[[Array], Array]) -> Figure | None:
        """Draw the codes of the points, those that are finite, in a plane."""
        codes = self.model.embed(self.shown)
        sound = np.isfinite(codes).all(axis=1)
        if not sound.any():
            return None
        names = (f"{name} 1 (no unit)", f"{name} 2 (no unit)")
        if codes.shape[1] <= 2:
            name, names = "as they are", ("first code", "second code")
        labels = self.labels
        return pictures.scatter(
            to_plane(codes[sound]),
            self.proba[sound].argmax(axis=1),
            labels=None if labels is None else labels[sound],
            label_names=self.dataset.label_names,
            title=f"codes of {sound.sum():,} test points, {name}",
            axis_names=names,
        )

    def confusion(self, labels: NDArray[np.int64]) -> Figure:
        """Draw all test points by cluster and label."""
        return pictures.confusion(
            self.model.predict(self.dataset.scaling.invert(self.dataset.test)),
            labels,
            n_components=self.model.n_components,
            label_names=self.dataset.label_names,
        )


def _sheet(points: Array, as_rows: Callable[[Array], Figure], title: str) -> Figure:
    """Draw points (K, n, *shape): those in the plane where they are, others in rows."""
    K, n = points.shape[:2]
    if points[0, 0].size == 2:
        numbers = np.repeat(np.arange(K), n)
        return pictures.scatter(points.reshape(-1, 2), numbers, title=title)
    return as_rows(points)


def _curves(
    evaluations: Sequence["Evaluation"],
    read: Mapping[str, MetricInfo],
    names: Sequence[str] | None = None,
) -> Figure | None:
    """Draw what training reported over its passes: everything, or the metrics of these names."""
    told = [e for e in evaluations if e.metrics]
    lines = _lines(told)
    wanted = {n: lines[n] for n in lines if names is None or n in names}
    drawn = {name: values for name, values in wanted.items() if np.isfinite(values).any()}
    if not drawn:
        return None
    return pictures.curves(
        np.array([e.epoch for e in told]),
        drawn,
        stages=[e.stage for e in told],
        units={name: _unit(name, read) for name in drawn},
        levels={name: curve.levels for name, curve in read.items()},
    )


def _unit(name: str, read: Mapping[str, MetricInfo]) -> str:
    """Return what stands at the axis of a metric: the score alone is told replica by replica."""
    if name == "score":
        return "each replica"
    unit = read[name].unit if name in read else ""
    return f"{unit}, mean of replicas" if unit else "mean of replicas"


def _lines(told: Sequence["Evaluation"]) -> dict[str, Array]:
    """Return the score of each replica, (E, R), and the mean over replicas of the rest, (E,)."""
    R = max((len(e.replicas) for e in told), default=0)
    lines = {"score": np.array([e.replicas or (np.nan,) * R for e in told])} if R else {}
    reported = dict.fromkeys(name for e in told for name in e.metrics)
    for name in (_ACCURACY, *(n for n in reported if n.startswith(_TRAIN))):
        lines[name] = np.array([e.metrics.get(name, np.nan) for e in told])
    return lines
