"""Reads tables with one point per row, one feature per column, and optionally labels."""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, did_you_mean
from . import checks
from .dataset import Content
from .scaling import Array

if TYPE_CHECKING:
    import pandas as pd

_MAX_LINE = 1 << 22  # characters read to find separator and header


def read_csv(path: Path, labels: str | None, where: str) -> Content:
    """Return the numbers of a UTF-8 .csv file, separated by commas, semicolons or tabs.

    The first row holds the names of the columns unless it consists of numbers only.
    """
    import pandas as pd

    checks.require_memory(path.stat().st_size // 4, 8, where)
    try:
        separator, first = _first_row(path)
        header = None if first and all(map(_is_number, first)) else 0
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                header=header,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
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
    if header == 0 and first and not first[0].strip():
        raise DataError(
            f"the first column of {where} has no name, like the index that pandas writes: save "
            "the table with index=False, or name the column"
        )
    columns = {str(name): frame[name] for name in frame.columns}
    return from_columns(columns, labels, where)


def from_columns(
    columns: "Mapping[str, pd.Series | Array]", labels: str | None, where: str
) -> Content:
    """Return the content of named columns of numbers (N,) or vectors (N, width).

    The features of a vector are called name[0], name[1] and so on, and share a unit.
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
    parts = {name: _numbers(column, name, where) for name, column in features.items()}
    dtype = np.result_type(*[part.dtype for part in parts.values()])
    x = np.concatenate(list(parts.values()), axis=1, dtype=dtype)
    names, widths = _names_and_widths(features, parts)
    y = None if labels is None else _classes(columns[labels], labels, where)
    return Content(x, y, columns=names, widths=widths)


def _names_and_widths(
    features: "Mapping[str, pd.Series | Array]", parts: Mapping[str, Array]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the features, and their number per column if any is a vector."""
    names: list[str] = []
    for name, column in features.items():
        width = parts[name].shape[1]
        names += [f"{name}[{i}]" for i in range(width)] if column.ndim == 2 else [name]
    vectors = any(column.ndim == 2 for column in features.values())
    return tuple(names), tuple(part.shape[1] for part in parts.values()) if vectors else ()


def _numbers(column: "pd.Series | Array", name: str, where: str) -> Array:
    """Return a column as (N, width)."""
    if isinstance(column, np.ndarray):
        return column
    return column.to_numpy(dtype=_numeric(column, name, where))[:, None]


def _numeric(column: "pd.Series", name: str, where: str) -> np.dtype[Any]:
    """Return the type of a column. Raises DataError with the first value that is not a number."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.dtype
    texts = column.astype(str)
    wrong = pd.to_numeric(texts, errors="coerce").isna() & ~texts.isin(["True", "False"])
    row = int(wrong.to_numpy().argmax())
    raise DataError(
        f"column {name!r} of {where} holds {texts.iloc[row]!r} in row {row} (counted from 0), "
        f"of type {column.dtype}, not a number: write numbers with a decimal point, remove the "
        "column, or use it as labels"
    )


def _classes(column: "pd.Series | Array", name: str, where: str) -> Array:
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
