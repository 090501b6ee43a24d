"""What all pictures share: figures without a window, files, colours."""

from pathlib import Path
from typing import Literal

from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ...errors import DiskError

SMALL = 8
"""Size of the smallest letters, in points."""

CELL = 0.55
"""Side of one picture in a grid, in inches."""

MANY = 15
"""Up to this many rows or columns, cells show their numbers and a legend has one column."""

Dash = Literal["-", "--", "-.", ":"]

_LONGEST = 20
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, drawn by Agg whatever the screen."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one panel."""
    figure = blank(width, height)
    return figure, figure.add_subplot()


def colour(index: int) -> str:
    """Return the colour of a cluster, label or replica, one of ten.

    Accessible Color Sequences for Data Visualization (Petroff, 2021).
    """
    return to_hex(color_sequences["petroff10"][index % 10])


def marker(index: int) -> str:
    """Return a marker that helps the colour, and with it tells the first 70 apart."""
    return _MARKERS[index % len(_MARKERS)]


def dash(index: int) -> Dash:
    """Return a line style that, with the colour, tells the first 40 apart."""
    return _DASHES[index // 10 % len(_DASHES)]


def short(name: str) -> str:
    """Return a name that leaves room for the picture."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes for the same picture."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    except OSError as error:
        raise DiskError(
            f"cannot write {path} ({error.strerror}): choose a folder that can be written"
        ) from error
