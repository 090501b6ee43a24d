"""Learning curves: reported metrics over epochs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .figures import SMALL_FONT, colour, empty_figure, line_style

Array = NDArray[Any]
_SHADES = ("1.0", "0.9", "0.8", "0.7")


def curves(
    epochs: Array,
    metrics: Mapping[str, Array],
    *,
    stages: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw each metric (E,) or (E, R) over the epochs (E,), a panel each, with a line per replica.

    A value that is not finite leaves a gap. `stages` (E,) shade the epochs before each evaluation,
    `units` label the vertical axes, and `levels` draw named horizontal lines, both by metric.
    """
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    size = 1.4 if len(metrics) == 1 else 1.0
    figure = empty_figure(4.0 * size * columns, 2.7 * size * rows + 0.3)
    for index, (name, values) in enumerate(metrics.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        _shade_stages(axes, epochs, stages)
        _draw_replicas(axes, epochs, values.reshape(len(epochs), -1))
        _draw_levels(axes, {} if levels is None else levels.get(name, {}))
        axes.set_title(name, fontsize=10)
        axes.set_ylabel("" if units is None else units.get(name, ""), fontsize=9)
        axes.set_xlabel("epoch (passes over the data)", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.tick_params(labelsize=SMALL_FONT)
        axes.grid(alpha=0.3)
    handles = _replica_handles(metrics, len(epochs)) + _stage_handles(stages)
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            fontsize=SMALL_FONT,
            ncols=min(len(handles), 3 * columns),
        )
    return figure


def _draw_replicas(axes: Axes, epochs: Array, lines: Array) -> None:
    """Draw lines (E, R), and a value between two gaps as a point."""
    finite = np.isfinite(lines)
    padded = np.pad(finite, ((1, 1), (0, 0)))
    isolated = finite & ~padded[:-2] & ~padded[2:]
    for replica, line in enumerate(np.where(finite, lines, np.nan).T):
        axes.plot(
            epochs,
            line,
            color=colour(replica),
            linestyle=line_style(replica),
            linewidth=1.3,
            marker="o",
            markersize=4,
            markevery=np.flatnonzero(isolated[:, replica]).tolist(),
        )


def _draw_levels(axes: Axes, levels: Mapping[str, float]) -> None:
    for number, (name, value) in enumerate(levels.items()):
        style = (":", "--")[number % 2]
        axes.axhline(value, color="black", linestyle=style, linewidth=1.1, label=name)
    if levels:
        axes.legend(fontsize=SMALL_FONT)


def _shade_stages(axes: Axes, epochs: Array, stages: Sequence[str]) -> None:
    """Shade each stage; an evaluation covers the epochs since the previous one."""
    names = list(dict.fromkeys(stages))
    if len(names) < 2:
        return
    for stage, (start, end) in zip(stages, pairwise([0, *epochs]), strict=True):
        shade = _SHADES[names.index(stage) % len(_SHADES)]
        axes.axvspan(start, end, color=shade, linewidth=0, zorder=0)


def _replica_handles(metrics: Mapping[str, Array], n: int) -> list[Artist]:
    """Return the legend of the replicas, empty for a single one."""
    R = max(values.size // n for values in metrics.values())
    return [
        Line2D([], [], color=colour(r), linestyle=line_style(r), label=f"replica {r}")
        for r in range(R if R > 1 else 0)
    ]


def _stage_handles(stages: Sequence[str]) -> list[Artist]:
    """Return the legend of the stages, empty for a single one."""
    names = list(dict.fromkeys(stages))
    return [
        Patch(facecolor=_SHADES[n % len(_SHADES)], edgecolor="0.5", label=f"stage {name}")
        for n, name in enumerate(names if len(names) > 1 else [])
    ]
