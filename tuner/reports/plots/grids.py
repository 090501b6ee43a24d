"""Grids with a row of points per cluster: images, or lines for points of another shape."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figures import CELL_SIZE, SMALL_FONT, colour, empty_figure, single_axes

Array = NDArray[Any]
_OUTLIERS = 0.005  # share of pixels at either end that may saturate, to keep the contrast
CellColour = Callable[[int, int], Any]  # from row and column


def is_image(shape: Sequence[int]) -> bool:
    """Return whether points of this shape can be drawn as images."""
    sizes = tuple(shape)
    if len(sizes) == 3 and (sizes[0] in (1, 3) or sizes[2] in (1, 3)):
        sizes = sizes[1:] if sizes[0] in (1, 3) else sizes[:2]
    return len(sizes) == 2 and min(sizes) > 1


def members(points: Array, proba: Array, *, columns: int = 12) -> Figure:
    """Draw members of each cluster in a row, from the most certain to the least certain.

    `proba` (N, K) is p(cluster | point). The members shown are evenly spaced in that order, so
    each row includes uncertain members.
    """
    clusters, certainty = proba.argmax(axis=1), proba.max(axis=1)
    rows, titles = [], []
    for cluster in range(proba.shape[1]):
        index = np.flatnonzero(clusters == cluster)
        index = index[np.argsort(-certainty[index], kind="stable")]
        shown = np.linspace(0, len(index) - 1, min(columns, len(index))).round().astype(int)
        rows.append(points[index[shown]])
        titles.append(f"{cluster} ({len(index):,})")
    figure = _grid(rows, titles, columns=columns, colours=_colour_of_row)
    return _with_axis_labels(figure, "cluster (points)", "most certain to least certain")


def samples(points: Array) -> Figure:
    """Draw generated points (K, n, *shape), a cluster per row."""
    names = [str(k) for k in range(len(points))]
    figure = _grid(list(points), names, columns=points.shape[1], colours=_colour_of_row)
    return _with_axis_labels(figure, "cluster", "samples of the cluster")


def traversals(points: Array) -> Figure:
    """Draw points (K, n, *shape) whose style varies along a line, a cluster per row."""
    n = points.shape[1]
    names = [str(k) for k in range(len(points))]

    def colour_of_step(row: int, step: int) -> Any:
        del row
        return colormaps["viridis"](step / max(n - 1, 1))

    figure = _grid(list(points), names, columns=n, colours=colour_of_step)
    return _with_axis_labels(figure, "cluster", "style, from one end of the line to the other")


def _colour_of_row(row: int, column: int) -> Any:
    del column
    return colour(row)


def _with_axis_labels(figure: Figure, rows: str, columns: str) -> Figure:
    figure.supylabel(rows, fontsize=9)
    figure.supxlabel(columns, fontsize=9)
    return figure


def _grid(
    rows: Sequence[Array], titles: Sequence[str], *, columns: int, colours: CellColour
) -> Figure:
    """Draw rows of points: images side by side, other points as a line each."""
    shape = next((row.shape[1:] for row in rows if len(row)), (1,))
    if is_image(shape):
        low, high = _limits(rows, outliers=_OUTLIERS)
        scaled = [(row - low) / (high - low) for row in rows]
        return _image_grid(scaled, titles, _image(np.zeros(shape)).shape, columns)
    low, high = _limits(rows)
    figure = empty_figure(6.0, 0.4 + 2 * CELL_SIZE * len(rows))
    for index, (row, title) in enumerate(zip(rows, titles, strict=True)):
        axes = figure.add_subplot(len(rows), 1, index + 1)
        for number, point in enumerate(row):
            values = point.reshape(-1)
            marker = "o" if len(values) == 1 else None
            shade = colours(index, number)
            axes.plot(values, color=shade, marker=marker, linewidth=0.9, alpha=0.8)
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=SMALL_FONT)
        axes.set(xticks=[], yticks=[], ylim=(low, high))
    return figure


def _image_grid(
    rows: Sequence[Array], titles: Sequence[str], shape: Sequence[int], columns: int
) -> Figure:
    """Draw images in [0, 1] as one image with white lines between them."""
    height, width = shape[0] + 1, shape[1] + 1
    canvas = np.ones((len(rows) * height - 1, columns * width - 1, *shape[2:]))
    for row, points in enumerate(rows):
        for column, point in enumerate(points):
            top, left = row * height, column * width
            image = np.nan_to_num(_image(point)).clip(0, 1)
            canvas[top : top + shape[0], left : left + shape[1]] = image
    side = CELL_SIZE / max(height, width)
    figure, axes = single_axes(1.2 + side * canvas.shape[1], 0.5 + side * canvas.shape[0])
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    middles = [row * height + shape[0] / 2 - 0.5 for row in range(len(rows))]
    axes.set_yticks(middles, list(titles), fontsize=SMALL_FONT)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _image(point: Array) -> Array:
    """Return one point as (H, W) or (H, W, 3)."""
    if point.ndim == 3 and point.shape[0] in (1, 3):
        point = np.moveaxis(point, 0, 2)
    return point[..., 0] if point.ndim == 3 and point.shape[2] == 1 else point


def _limits(rows: Sequence[Array], *, outliers: float = 0.0) -> tuple[float, float]:
    """Return the range of the finite values without a share of `outliers` at either end.

    If that range is empty, return the whole range; if all values are equal, widen it by 1.
    """
    values = np.concatenate([row.reshape(-1) for row in rows if len(row)] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    for share in (outliers, 0.0):
        if len(values):
            low = float(np.quantile(values, share, method="lower"))
            high = float(np.quantile(values, 1 - share, method="higher"))
            if high > low:
                return low, high
    low = float(values.min()) if len(values) else 0.0
    return low, low + 1.0
