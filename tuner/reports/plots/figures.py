"""Figures, files, colours and markers that all plots share."""

from pathlib import Path
from typing import Literal

from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ...errors import DiskError

SMALL_FONT = 8
"""Size of the smallest text, in points."""

CELL_SIZE = 0.55
"""Side of a cell in a grid, in inches."""

LEGEND_ROWS = 15
"""Entries per column of a legend."""

LineStyle = Literal["-", "--", "-.", ":"]

_MAX_LENGTH = 20
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that Agg renders, with or without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def single_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its only axes."""
    figure = empty_figure(width, height)
    return figure, figure.add_subplot()


def colour(index: int) -> str:
    """Return the colour of a cluster, label or replica, one of ten that repeat.

    Accessible Color Sequences for Data Visualization (Petroff, 2021).
    """
    return to_hex(color_sequences["petroff10"][index % 10])


def marker(index: int) -> str:
    """Return a marker; with the colour it distinguishes 70 groups."""
    return _MARKERS[index % len(_MARKERS)]


def line_style(index: int) -> LineStyle:
    """Return a line style; with the colour it distinguishes 40 lines."""
    return _LINE_STYLES[index // 10 % len(_LINE_STYLES)]


def shorten(name: str) -> str:
    """Return a name cut to 20 characters, so that it leaves room for the plot, and no formula."""
    cut = name if len(name) <= _MAX_LENGTH else f"{name[: _MAX_LENGTH - 1]}…"
    return cut.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG without metadata, so that equal figures give equal files."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    except OSError as error:
        raise DiskError(
            f"cannot write {path} ({error.strerror}): choose a writable folder"
        ) from error
