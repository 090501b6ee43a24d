"""Flags that say how a dataset is read."""

from typing import Annotated

from typer import Option

from ..data.preparation import MISSING, SCALES
from . import completion
from .options import SWITCH

_DATA = "Data options"

Columns = Annotated[
    str | None,
    Option(
        "--columns",
        metavar="A,B",
        help="Columns of a table to use.",
        show_default="all",
        rich_help_panel=_DATA,
    ),
]
Drop = Annotated[
    str | None,
    Option(
        "--drop",
        metavar="A,B",
        help="Columns of a table to leave out.",
        rich_help_panel=_DATA,
    ),
]
Categories = Annotated[
    str | None,
    Option(
        "--categories",
        metavar="A,B",
        help="Columns of codes, which are categories and no measurements.",
        rich_help_panel=_DATA,
    ),
]
Ordinal = Annotated[
    list[str] | None,
    Option(
        "--ordinal",
        metavar="COLUMN=A,B",
        help="Categories of a column from lowest to highest (repeatable).",
        rich_help_panel=_DATA,
    ),
]
Missing = Annotated[
    str,
    Option(
        "--missing",
        metavar="NAME",
        help=f"What to do about missing values: {', '.join(MISSING)}.",
        autocompletion=completion.one_of(MISSING),
        rich_help_panel=_DATA,
    ),
]
MissingValue = Annotated[
    list[str] | None,
    Option(
        "--missing-value",
        metavar="VALUE",
        help="A value that means missing, such as -999 (repeatable).",
        rich_help_panel=_DATA,
    ),
]
Scale = Annotated[
    str,
    Option(
        "--scale",
        metavar="NAME",
        help=f"How values are scaled: {', '.join(SCALES)}.",
        autocompletion=completion.one_of(SCALES),
        rich_help_panel=_DATA,
    ),
]
Layer = Annotated[
    str | None,
    Option(
        "--layer",
        metavar="NAME",
        help="Layer of an .h5ad file.",
        show_default="X",
        rich_help_panel=_DATA,
    ),
]
Header = Annotated[
    bool | None,
    Option(
        "--header/--no-header",
        help="Whether the first row of a .csv file holds the names of the columns.",
        show_default="unless it consists of numbers",
        rich_help_panel=_DATA,
    ),
]
Strict = Annotated[
    bool,
    Option(
        "--strict",
        metavar=SWITCH,
        help="Refuse data that would only be warned about.",
        rich_help_panel=_DATA,
    ),
]
