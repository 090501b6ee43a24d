"""Clusters against labels, and points in the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .canvas import CELL, MANY, SMALL, blank, colour, marker, short, single

Array = NDArray[Any]
_NAMED = 3 * MANY
_LEAST_FLAT = 0.2  # of a picture's height to its width: below, the two axes have scales apart


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
    figure, axes = single(2.2 + CELL * len(label_names), 1.6 + CELL * n_components)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    turned = 45 if max(map(len, label_names)) > 3 else 0
    aligned = "right" if turned else "center"
    ticks = [short(name) for name in label_names]
    axes.set_xticks(range(len(ticks)), ticks, rotation=turned, ha=aligned)
    axes.set_yticks(range(n_components), [str(cluster) for cluster in order])
    axes.set(xlabel="label", ylabel="cluster", title=f"{len(labels):,} points")
    if max(counts.shape) <= 2 * MANY:
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.6 else "black"
            text = f"{count:,}" if count else ""
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=SMALL)
    return figure


def scatter(
    points: Array,
    clusters: Array,
    *,
    labels: Array | None = None,
    label_names: Sequence[str] = (),
    title: str = "",
    axis_names: tuple[str, str] = ("first value", "second value"),
) -> Figure:
    """Draw points in the plane (N, 2), coloured by cluster, and beside them by label if known."""
    panels = [("clusters", clusters, [str(k) for k in range(int(clusters.max()) + 1)])]
    if labels is not None:
        panels.append(("labels, for the audit", labels, list(label_names)))
    figure = blank(5.4 * len(panels), 4.8)
    for index, (what, codes, names) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _groups(axes, points, codes, names)
        axes.set(title=what, xlabel=axis_names[0], ylabel=axis_names[1])
        if _is_square(points):
            axes.set_aspect("equal", adjustable="datalim")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _groups(axes: Axes, points: Array, codes: Array, names: Sequence[str]) -> None:
    """Draw the points of each code in its colour, with a legend beside them if there is room."""
    drawn = 0
    for code, name in enumerate(names):
        own = points[codes == code]
        if len(own):
            x, y, look, sign = own[:, 0], own[:, 1], colour(code), marker(code)
            axes.scatter(
                x, y, s=13, color=look, marker=sign, linewidths=0, alpha=0.8, label=short(name)
            )
            drawn += 1
    axes.tick_params(labelsize=SMALL)
    if drawn <= _NAMED:
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=SMALL,
            markerscale=1.6,
            handletextpad=0.2,
            ncols=1 + (drawn - 1) // MANY,
        )


def _is_square(points: Array) -> bool:
    """Return whether the points, on equal scales, fill more than a strip of the picture."""
    finite = points[np.isfinite(points).all(axis=1)]
    sizes = np.ptp(finite, axis=0) if len(finite) else np.zeros(2)
    return bool(sizes.min() > _LEAST_FLAT * sizes.max())
