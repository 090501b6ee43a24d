"""Reads tables with one point per row, one feature per column, and optionally labels."""

import csv
import itertools
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, did_you_mean
from . import checks
from .content import Content
from .preparation import Preparation
from .scaling import Array

if TYPE_CHECKING:
    import pandas as pd

_MAX_LINE = 1 << 22  # characters read to find separator and header
_COUNTED = 3  # numbers in a row, for it to count the columns


def read_csv(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the columns of a UTF-8 .csv file, separated by commas, semicolons or tabs.

    The first row holds their names, unless it consists of numbers that do not count the columns or
    the preparation says otherwise.
    """
    import pandas as pd

    checks.require_memory(path.stat().st_size // 4, 8, where)
    try:
        separator, first = _first_row(path)
        header, doubts = _header(first, preparation.header)
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                header=0 if header else None,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                float_precision="round_trip",
            )
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise DataError(
            f"the rows of {where} differ in length or quotes ({_reason(error)}): give every row "
            "the same number of cells"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"{where} does not contain a table: write a header and one row per point"
        ) from error
    columns = {str(name): frame[name] for name in frame.columns}
    return from_columns(columns, labels, where, named=header, warnings=doubts)


def from_columns(
    columns: "Mapping[str, pd.Series | Array]",
    labels: str | None,
    where: str,
    *,
    named: bool = True,
    notes: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Content:
    """Return the content of columns of cells (N,) or vectors (N, width), by name.

    Without `named`, the names are no more than their positions.
    """
    if labels is not None and labels not in columns:
        raise DataError(
            f"{where} has no column {labels!r} for labels{did_you_mean(labels, columns)}; it has "
            f"{_listing(list(columns))}: name one of these"
        )
    features = {name: column for name, column in columns.items() if name != labels}
    if not features:
        raise DataError(f"{where} has no columns to cluster: add at least one column of numbers")
    if not all(map(len, features.values())):
        raise DataError(f"{where} has no points: add at least 2 rows")
    y = None if labels is None else classes(columns[labels], labels, where)
    return Content(
        features, y, columns=tuple(features) if named else (), notes=notes, warnings=warnings
    )


def _header(first: list[str], wanted: bool | None) -> tuple[bool, tuple[str, ...]]:
    """Return whether the first row of a file holds names, and what should be known about it."""
    if wanted is not None:
        return wanted, ()
    if not first or not all(map(_is_number, first)):
        return True, ()
    values = [float(cell) for cell in first]
    steps = {b - a for a, b in itertools.pairwise(values)}
    if len(values) < _COUNTED or steps != {1.0} or values[0] != int(values[0]):
        return False, ()
    text = f"the first row of the table, {', '.join(first[:3])} and so on,"
    if values[0] in (0, 1):
        return True, (
            f"{text} counts the columns and is read as their names: use --no-header if "
            "it is a point",
        )
    return False, (
        f"{text} consists of numbers and is read as a point: use --header if these are "
        "the names of the columns",
    )


def classes(column: "pd.Series | Array", name: str, where: str) -> Array:
    """Return the labels of points (N,) as numbers or texts, or raise DataError."""
    if isinstance(column, np.ndarray):
        raise DataError(
            f"column {name!r} of {where} holds vectors, but labels are one value per row: use "
            "another column as labels"
        )
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"column {name!r} of {where} has no label in row {int(missing.argmax())} (counted "
            "from 0): give every point a label, or leave out the labels"
        )
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=np.str_)


def _first_row(path: Path) -> tuple[str, list[str]]:
    """Return the separator and the cells of the first line that is not blank."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        line = ""
        while not line.strip():
            line = stream.readline(_MAX_LINE)
            if not line:
                return ",", []
    separator = next((character for character in ";\t" if character in line), ",")
    return separator, next(csv.reader([line], delimiter=separator))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _reason(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return line.removeprefix("Error tokenizing data. C error: ")
