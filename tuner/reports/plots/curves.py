"""What training reported, over its passes."""

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

from .canvas import SMALL, blank, colour, dash

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
    """Draw each metric (E,) or (E, R), a panel, over the epochs (E,), with a line per replica.

    A value that is not finite leaves a gap. `stages` (E,) shade what came before each epoch,
    `units` name a metric's axis and `levels` draw named lines across its panel.
    """
    across = min(3, len(metrics))
    down = -(-len(metrics) // across)
    size = 1.4 if len(metrics) == 1 else 1.0
    figure = blank(4.0 * size * across, 2.7 * size * down + 0.3)
    for index, (name, values) in enumerate(metrics.items()):
        axes = figure.add_subplot(down, across, index + 1)
        _shade(axes, epochs, stages)
        _draw(axes, epochs, values.reshape(len(epochs), -1))
        _mark(axes, {} if levels is None else levels.get(name, {}))
        axes.set_title(name, fontsize=10)
        axes.set_ylabel("" if units is None else units.get(name, ""), fontsize=9)
        axes.set_xlabel("epoch (passes over the data)", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.tick_params(labelsize=SMALL)
        axes.grid(alpha=0.3)
    shown = _replicas(metrics, len(epochs)) + _shades(stages)
    if shown:
        figure.legend(
            handles=shown,
            loc="outside lower center",
            fontsize=SMALL,
            ncols=min(len(shown), 3 * across),
        )
    return figure


def _draw(axes: Axes, epochs: Array, lines: Array) -> None:
    """Draw lines (E, R); a value between two gaps is a point."""
    finite = np.isfinite(lines)
    padded = np.pad(finite, ((1, 1), (0, 0)))
    alone = finite & ~padded[:-2] & ~padded[2:]
    for replica, line in enumerate(np.where(finite, lines, np.nan).T):
        axes.plot(
            epochs,
            line,
            color=colour(replica),
            linestyle=dash(replica),
            linewidth=1.3,
            marker="o",
            markersize=4,
            markevery=np.flatnonzero(alone[:, replica]).tolist(),
        )


def _mark(axes: Axes, levels: Mapping[str, float]) -> None:
    for number, (name, value) in enumerate(levels.items()):
        look = (":", "--")[number % 2]
        axes.axhline(value, color="black", linestyle=look, linewidth=1.1, label=name)
    if levels:
        axes.legend(fontsize=SMALL)


def _shade(axes: Axes, epochs: Array, stages: Sequence[str]) -> None:
    """Shade each stage; an evaluation speaks for the passes since the one before."""
    names = list(dict.fromkeys(stages))
    if len(names) < 2:
        return
    for stage, (start, end) in zip(stages, pairwise([0, *epochs]), strict=True):
        shade = _SHADES[names.index(stage) % len(_SHADES)]
        axes.axvspan(start, end, color=shade, linewidth=0, zorder=0)


def _replicas(metrics: Mapping[str, Array], n: int) -> list[Artist]:
    """Return the legend of the replicas, nothing where there is one line only."""
    R = max(values.size // n for values in metrics.values())
    return [
        Line2D([], [], color=colour(r), linestyle=dash(r), label=f"replica {r}")
        for r in range(R if R > 1 else 0)
    ]


def _shades(stages: Sequence[str]) -> list[Artist]:
    names = list(dict.fromkeys(stages))
    return [
        Patch(facecolor=_SHADES[n % len(_SHADES)], edgecolor="0.5", label=f"stage {name}")
        for n, name in enumerate(names if len(names) > 1 else [])
    ]
