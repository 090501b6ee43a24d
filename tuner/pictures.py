"""Pictures of clusterings: arrays in, a Figure out, no state shared with anyone.

Points are raw or scaled, shape (N, *shape). Images have shape (H, W), or (C, H, W) or (H, W, C)
with one or three channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .errors import DiskError

Array = NDArray[Any]
_CELL = 0.55  # inches of one picture in a grid
_NUMBERED = 15  # up to this many rows or columns, cells show their numbers


def is_image(shape: Sequence[int]) -> bool:
    """Return whether points of this shape can be drawn as images."""
    sizes = tuple(shape)
    if len(sizes) == 3 and (sizes[0] in (1, 3) or sizes[2] in (1, 3)):
        sizes = sizes[1:] if sizes[0] in (1, 3) else sizes[:2]
    return len(sizes) == 2 and min(sizes) > 1


def confusion(
    clusters: Array, labels: Array, *, n_components: int, label_names: Sequence[str]
) -> Figure:
    """Draw how many points of each label, a column, are in each cluster, a row.

    `labels` (N,) index `label_names`. Rows are ordered by the label that they hold most of, so
    that good clusterings are dark along the diagonal; colours are shares of a cluster.
    """
    counts = np.zeros((n_components, len(label_names)), dtype=np.int64)
    np.add.at(counts, (clusters, labels), 1)
    order = np.lexsort((-counts.max(axis=1), counts.argmax(axis=1), counts.sum(axis=1) == 0))
    counts = counts[order]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _single(2.2 + _CELL * len(label_names), 1.6 + _CELL * n_components)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    turned = 45 if max(map(len, label_names)) > 3 else 0
    aligned = "right" if turned else "center"
    axes.set_xticks(range(len(label_names)), list(label_names), rotation=turned, ha=aligned)
    axes.set_yticks(range(n_components), [str(cluster) for cluster in order])
    axes.set(xlabel="label", ylabel="cluster", title=f"{len(labels):,} points")
    if max(counts.shape) <= 2 * _NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else "black"
            text = f"{count:,}" if count else ""
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    return figure


def members(points: Array, proba: Array, *, columns: int = 12) -> Figure:
    """Draw members of each cluster, a row: from the surest, left, to the least sure, right.

    `proba` (N, K) is p(cluster | point). The members shown are evenly spaced in that order, so a
    row shows the cluster's doubtful members too.
    """
    clusters, certainty = proba.argmax(axis=1), proba.max(axis=1)
    rows, titles = [], []
    for cluster in range(proba.shape[1]):
        own = np.flatnonzero(clusters == cluster)
        own = own[np.argsort(-certainty[own], kind="stable")]
        shown = np.linspace(0, len(own) - 1, min(columns, len(own))).round().astype(int)
        rows.append(points[own[shown]])
        titles.append(f"{cluster} ({len(own):,})")
    return _grid(rows, titles, columns=columns)


def samples(points: Array) -> Figure:
    """Draw generated points (K, n, *shape), one cluster to a row."""
    return _grid(list(points), [str(k) for k in range(len(points))], columns=points.shape[1])


def curves(epochs: Array, metrics: Mapping[str, Array]) -> Figure:
    """Draw each metric (E,) or (E, R), a panel, over the epochs (E,), with a line per replica.

    A value that is not finite leaves a gap.
    """
    across = min(3, len(metrics))
    down = -(-len(metrics) // across)
    figure = _figure(4.2 * across, 2.8 * down)
    for index, (name, values) in enumerate(metrics.items()):
        axes = figure.add_subplot(down, across, index + 1)
        lines = np.where(np.isfinite(values), values, np.nan).reshape(len(epochs), -1)
        for replica, line in enumerate(lines.T):
            marker = "o" if len(epochs) == 1 else None
            name_of = f"replica {replica}" if lines.shape[1] > 1 else None
            colour = _colour(replica)
            axes.plot(epochs, line, label=name_of, color=colour, marker=marker, linewidth=1.2)
        if index == 0 and lines.shape[1] > 1:
            axes.legend(fontsize=7)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return figure


def scatter(
    points: Array,
    clusters: Array,
    *,
    labels: Array | None = None,
    label_names: Sequence[str] = (),
) -> Figure:
    """Draw points in the plane (N, 2), coloured by cluster, and beside them by label if known."""
    panels = [("clusters", clusters, [str(k) for k in range(int(clusters.max()) + 1)])]
    if labels is not None:
        panels.append(("labels", labels, list(label_names)))
    figure = _figure(5.0 * len(panels), 4.6)
    for index, (title, codes, names) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for code, name in enumerate(names):
            own = points[codes == code]
            if len(own):
                axes.scatter(own[:, 0], own[:, 1], s=8, color=_colour(code), label=name)
        axes.set(title=title, aspect="equal")
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=7,
            markerscale=1.5,
            ncols=1 + len(names) // _NUMBERED,
        )
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes for the same picture."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    except OSError as error:
        raise DiskError(
            f"cannot write {path} ({error.strerror}): choose a folder that can be written"
        ) from error


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _single(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _figure(width, height)
    return figure, figure.add_subplot()


def _colour(index: int) -> tuple[float, float, float, float]:
    """Return a colour of its own for each of the first 20, then from the start again."""
    return colormaps["tab20"]((2 * index) % 20 + (index % 20) // 10)


def _grid(rows: Sequence[Array], titles: Sequence[str], *, columns: int) -> Figure:
    """Draw rows of points: images side by side, other points as one line each."""
    shape = next((row.shape[1:] for row in rows if len(row)), (1,))
    low, high = _limits(rows)
    if is_image(shape):
        scaled = [(row - low) / (high - low) for row in rows]
        return _image_grid(scaled, titles, _image(np.zeros(shape)).shape, columns)
    figure = _figure(6.0, 0.4 + 2 * _CELL * len(rows))
    for index, (row, title) in enumerate(zip(rows, titles, strict=True)):
        axes = figure.add_subplot(len(rows), 1, index + 1)
        for number, point in enumerate(row):
            axes.plot(point.reshape(-1), color=_colour(number), linewidth=0.8)
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
        axes.set(xticks=[], yticks=[], ylim=(low, high))
    return figure


def _image_grid(
    rows: Sequence[Array], titles: Sequence[str], shape: Sequence[int], columns: int
) -> Figure:
    """Draw images, scaled to [0, 1], as one picture with a white line between them."""
    height, width = shape[0] + 1, shape[1] + 1
    canvas = np.ones((len(rows) * height - 1, columns * width - 1, *shape[2:]))
    for row, points in enumerate(rows):
        for column, point in enumerate(points):
            top, left = row * height, column * width
            image = np.nan_to_num(_image(point)).clip(0, 1)
            canvas[top : top + shape[0], left : left + shape[1]] = image
    side = _CELL / max(height, width)
    figure, axes = _single(1.0 + side * canvas.shape[1], 0.2 + side * canvas.shape[0])
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    middles = [row * height + shape[0] / 2 - 0.5 for row in range(len(rows))]
    axes.set_yticks(middles, list(titles), fontsize=8)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _image(point: Array) -> Array:
    """Return one point as (H, W) or (H, W, 3)."""
    if point.ndim == 3 and point.shape[0] in (1, 3):
        point = np.moveaxis(point, 0, 2)
    return point[..., 0] if point.ndim == 3 and point.shape[2] == 1 else point


def _limits(rows: Sequence[Array]) -> tuple[float, float]:
    """Return the range of all finite values; a picture of constants is not divided by zero."""
    values = np.concatenate([row.reshape(-1) for row in rows if len(row)] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return low, high if high > low else low + 1.0
