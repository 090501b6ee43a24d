"""Confusion matrices and scatter plots."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figures import (
    CELL_SIZE,
    LEGEND_ROWS,
    SMALL_FONT,
    colour,
    empty_figure,
    marker,
    shorten,
    single_axes,
)

Array = NDArray[Any]
_MAX_LEGEND = 3 * LEGEND_ROWS
_MAX_COUNTS = 30  # rows or columns up to which the cells of a confusion matrix show their counts
_MIN_ASPECT = 0.2  # both axes have equal scales if the ratio of their ranges is above this


def confusion(
    clusters: Array, labels: Array, *, n_components: int, label_names: Sequence[str]
) -> Figure:
    """Draw a confusion matrix: the number of points per cluster (row) and label (column).

    `labels` (N,) index `label_names`. Rows are ordered by their most frequent label, so that good
    clusterings are dark along the diagonal. Colours are shares of a cluster.
    """
    counts = np.zeros((n_components, len(label_names)), dtype=np.int64)
    np.add.at(counts, (clusters, labels), 1)
    order = np.lexsort((-counts.max(axis=1), counts.argmax(axis=1), counts.sum(axis=1) == 0))
    counts = counts[order]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = single_axes(2.2 + CELL_SIZE * len(label_names), 1.6 + CELL_SIZE * n_components)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    rotation = 45 if max(map(len, label_names)) > 3 else 0
    alignment = "right" if rotation else "center"
    ticks = [shorten(name) for name in label_names]
    axes.set_xticks(range(len(ticks)), ticks, rotation=rotation, ha=alignment)
    axes.set_yticks(range(n_components), [str(cluster) for cluster in order])
    axes.set(xlabel="label", ylabel="cluster", title=f"{len(labels):,} points")
    if max(counts.shape) <= _MAX_COUNTS:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.6 else "black"
            text = f"{count:,}" if count else ""
            axes.text(
                column, row, text, ha="center", va="center", color=shade, fontsize=SMALL_FONT
            )
    return figure


def scatter(
    points: Array,
    clusters: Array,
    *,
    labels: Array | None = None,
    label_names: Sequence[str] = (),
    title: str = "",
    axis_names: tuple[str, str] = ("feature 1", "feature 2"),
) -> Figure:
    """Draw points (N, 2) coloured by cluster and, in a second panel, by label if given."""
    panels = [("clusters", clusters, [str(k) for k in range(int(clusters.max()) + 1)])]
    if labels is not None:
        panels.append(("labels (for the audit only)", labels, list(label_names)))
    figure = empty_figure(5.4 * len(panels), 4.8)
    for index, (heading, codes, names) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _scatter_groups(axes, points, codes, names)
        axes.set(title=heading, xlabel=axis_names[0], ylabel=axis_names[1])
        if _fills_square(points):
            axes.set_aspect("equal", adjustable="datalim")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def plane(
    points: Array, labels: Array | None, label_names: Sequence[str], *, title: str
) -> Figure:
    """Draw the first two principal components of points (N, 2), coloured by label if given."""
    figure, axes = single_axes(5.4, 4.8)
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=13, color=colour(0), linewidths=0, alpha=0.6)
        axes.tick_params(labelsize=SMALL_FONT)
    else:
        _scatter_groups(axes, points, labels, label_names)
    axes.set(
        title=title, xlabel="principal component 1, scaled", ylabel="principal component 2, scaled"
    )
    if _fills_square(points):
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def _scatter_groups(axes: Axes, points: Array, codes: Array, names: Sequence[str]) -> None:
    """Draw the points of each code in its colour, and a legend unless it would be too long."""
    drawn = 0
    for code, name in enumerate(names):
        group = points[codes == code]
        if len(group):
            axes.scatter(
                group[:, 0],
                group[:, 1],
                s=13,
                color=colour(code),
                marker=marker(code),
                linewidths=0,
                alpha=0.8,
                label=shorten(name),
            )
            drawn += 1
    axes.tick_params(labelsize=SMALL_FONT)
    if drawn <= _MAX_LEGEND:
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=SMALL_FONT,
            markerscale=1.6,
            handletextpad=0.2,
            ncols=1 + (drawn - 1) // LEGEND_ROWS,
        )


def _fills_square(points: Array) -> bool:
    """Return whether points on axes of equal scale fill more than a strip of the plot."""
    finite = points[np.isfinite(points).all(axis=1)]
    sizes = np.ptp(finite, axis=0) if len(finite) else np.zeros(2)
    return bool(sizes.min() > _MIN_ASPECT * sizes.max())
