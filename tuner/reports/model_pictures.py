"""The pictures of a trained model, drawn into a folder."""

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
from . import plots
from .plots import projections

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training.evaluations import Evaluation
    from ..training.saved_model import Model

_MAX_POINTS = 2_000
_SAMPLES_PER_CLUSTER = 12
_TRAVERSAL_STEPS = 11  # odd, so that the middle of the line is shown
_TRAIN = "train/"
_ACCURACY = "audit/hungarian"

Array = NDArray[Any]
Plot = Callable[[], Figure | None]


def draw(
    model: "Model", dataset: "Dataset", evaluations: Sequence["Evaluation"], folder: Path
) -> list[str]:
    """Draw every picture of a model that applies.

    Return an error message for each picture that failed. An error, such as a full disk, stops
    neither the training nor the other pictures.
    """
    faults: list[str] = []
    try:
        for name, plot in _applicable_plots(_ModelPlots(model, dataset), evaluations):
            faults += _draw_picture(plot, folder / name)
    except Exception as error:  # raised while choosing which pictures apply
        faults.append(f"the remaining pictures were skipped ({type(error).__name__}: {error})")
    return faults


def _draw_picture(plot: Plot, path: Path) -> list[str]:
    """Draw and save a picture; return an error message if that fails."""
    try:
        figure = plot()
        if figure is not None:
            plots.save(figure, path)
    except Exception as error:
        return [f"{path.name} was not drawn ({type(error).__name__}: {error})"]
    return []


def _applicable_plots(
    model_plots: "_ModelPlots", evaluations: Sequence["Evaluation"]
) -> Iterator[tuple[str, Plot]]:
    """Yield the file name and the plot of each picture; a plot without data returns None."""
    model, dataset = model_plots.model, model_plots.dataset
    infos = {f"{_TRAIN}{name}": info for name, info in model.config.metric_info().items()}
    yield "curves.png", partial(_curves, evaluations, infos)
    for name, info in infos.items():
        if info.levels:
            curve = partial(_curves, evaluations, {name: info}, [name])
            yield f"{name.removeprefix(_TRAIN)}.png", curve
    if plots.is_image(model.shape):
        yield "members.png", model_plots.members
    if isinstance(model.clusterer, Generates):
        yield "samples.png", model_plots.samples
    if isinstance(model.clusterer, Traverses):
        yield "traversals.png", model_plots.traversals
    if math.prod(model.shape) == 2:
        yield "scatter.png", model_plots.scatter
    yield "codes.png", partial(model_plots.codes, "t-SNE", projections.tsne)
    if projections.has_umap():
        yield "codes_umap.png", partial(model_plots.codes, "UMAP", projections.umap)
    if dataset.test_labels is not None:
        yield "confusion.png", partial(model_plots.confusion, dataset.test_labels)


@final
class _ModelPlots:
    """The plots of a model on a sample of the test points; labels serve the audit only."""

    def __init__(self, model: "Model", dataset: "Dataset") -> None:
        self.model, self.dataset = model, dataset
        order = np.random.default_rng(0).permutation(len(dataset.test))
        self.index = np.sort(order[:_MAX_POINTS])

    @cached_property
    def raw(self) -> Any:
        """The test points shown, in their raw form."""
        return self.dataset.preprocessor.invert(self.dataset.test[self.index])

    @cached_property
    def shown(self) -> NDArray[np.float32]:
        """The test points shown, as numbers in raw units."""
        return self.dataset.preprocessor.scaling.invert(self.dataset.test[self.index])

    @cached_property
    def proba(self) -> NDArray[np.float32]:
        """The probabilities p(cluster | point) of the points shown."""
        return self.model.predict_proba(self.raw)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels of the points shown, None without labels."""
        labels = self.dataset.test_labels
        return None if labels is None else labels[self.index]

    def members(self) -> Figure:
        """Draw members of each cluster."""
        return plots.members(self.shown, self.proba)

    def samples(self) -> Figure:
        """Draw new points of each cluster."""
        clusters = range(self.model.n_components)
        points = np.stack(
            [self._numbers(self.model.sample(k, _SAMPLES_PER_CLUSTER)) for k in clusters]
        )
        return _scatter_or_grid(points, plots.samples, "samples of each cluster")

    def traversals(self) -> Figure:
        """Draw points of each cluster whose style varies along a line."""
        clusters = range(self.model.n_components)
        points = np.stack(
            [self._numbers(self.model.traverse(k, _TRAVERSAL_STEPS)) for k in clusters]
        )
        return _scatter_or_grid(points, plots.traversals, "style traversal of each cluster")

    def _numbers(self, raw: Any) -> Array:
        return self.model.preprocessor.encode(raw)

    def scatter(self) -> Figure:
        """Draw two-dimensional points."""
        return plots.scatter(
            self.shown.reshape(-1, 2),
            self.proba.argmax(axis=1),
            labels=self.labels,
            label_names=self.dataset.label_names,
        )

    def codes(self, name: str, project: Callable[[Array], Array]) -> Figure | None:
        """Draw a projection of the finite codes, None if there are none."""
        codes = self.model.embed(self.raw)
        finite = np.isfinite(codes).all(axis=1)
        if not finite.any():
            return None
        names = (f"{name} 1 (no unit)", f"{name} 2 (no unit)")
        if codes.shape[1] <= 2:
            name, names = "not projected", ("code dimension 1", "code dimension 2")
        labels = self.labels
        return plots.scatter(
            project(codes[finite]),
            self.proba[finite].argmax(axis=1),
            labels=None if labels is None else labels[finite],
            label_names=self.dataset.label_names,
            title=f"codes of {finite.sum():,} test points, {name}",
            axis_names=names,
        )

    def confusion(self, labels: NDArray[np.int64]) -> Figure:
        """Draw the confusion matrix of all test points."""
        return plots.confusion(
            self.model.predict(self.dataset.preprocessor.invert(self.dataset.test)),
            labels,
            n_components=self.model.n_components,
            label_names=self.dataset.label_names,
        )


def _scatter_or_grid(points: Array, grid: Callable[[Array], Figure], title: str) -> Figure:
    """Draw points (K, n, *shape): two-dimensional ones as a scatter plot, others as a grid."""
    K, n = points.shape[:2]
    if points[0, 0].size == 2:
        clusters = np.repeat(np.arange(K), n)
        return plots.scatter(points.reshape(-1, 2), clusters, title=title)
    return grid(points)


def _curves(
    evaluations: Sequence["Evaluation"],
    infos: Mapping[str, MetricInfo],
    names: Sequence[str] | None = None,
) -> Figure | None:
    """Draw the learning curves of the named metrics, or of all; None if none has values."""
    evaluations = [e for e in evaluations if e.metrics]
    curves = {
        name: values
        for name, values in _metric_values(evaluations).items()
        if (names is None or name in names) and np.isfinite(values).any()
    }
    if not curves:
        return None
    return plots.curves(
        np.array([e.epoch for e in evaluations]),
        curves,
        stages=[e.stage for e in evaluations],
        units={name: _axis_label(name, infos) for name in curves},
        levels={name: info.levels for name, info in infos.items()},
    )


def _axis_label(name: str, infos: Mapping[str, MetricInfo]) -> str:
    """Return the label of the axis of a metric; only the score has a curve per replica."""
    if name == "score":
        return "each replica"
    unit = infos[name].unit if name in infos else ""
    return f"{unit}, mean of replicas" if unit else "mean of replicas"


def _metric_values(evaluations: Sequence["Evaluation"]) -> dict[str, Array]:
    """Return the score of each replica, (E, R), and the mean over replicas of the rest, (E,)."""
    R = max((len(e.replicas) for e in evaluations), default=0)
    values = {"score": np.array([e.replicas or (np.nan,) * R for e in evaluations])} if R else {}
    reported = dict.fromkeys(name for e in evaluations for name in e.metrics)
    for name in (_ACCURACY, *(n for n in reported if n.startswith(_TRAIN))):
        values[name] = np.array([e.metrics.get(name, np.nan) for e in evaluations])
    return values
