"""Reads tables with one point per row, one feature per column, and optionally labels."""

import csv
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError, did_you_mean
from .. import checks
from ..content import Content
from ..preparation import INFERRED, Preparation
from ..scaling import Array
from ..table.cells import require_unique
from .header import decimal_mark, first_rows, has_header

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the columns of a UTF-8 .csv file, separated by commas, semicolons or tabs.

    The first row holds their names, unless it consists of numbers that do not count the columns or
    the preparation says otherwise.
    """
    import pandas as pd

    checks.require_memory(path.stat().st_size // 4, 8, where)
    try:
        separator, rows = first_rows(path)
        header, doubts = has_header(
            rows, preparation.header, may_count=preparation.scale != INFERRED
        )
        mark = decimal_mark(separator, rows)
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                header=0 if header else None,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                decimal=mark,
                **_exact_numbers(),
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
    if header:
        require_unique([name for name in rows[0] if name], where)
    notes = ["numbers are read with a decimal comma"] if mark == "," else []
    if header and not rows[0][0].strip():
        notes.append(f"the first column has no name and is called {str(frame.columns[0])!r}")
    columns = {str(name): frame[name] for name in frame.columns}
    return from_columns(columns, labels, where, named=header, notes=tuple(notes), warnings=doubts)


def _exact_numbers() -> dict[str, Any]:
    """Return the option with which numbers are read to the last bit, as is usual from pandas 3."""
    import pandas as pd

    return {} if int(pd.__version__.split(".")[0]) > 2 else {"float_precision": "round_trip"}


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
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(
            f"the columns of {where} have {min(lengths)} to {max(lengths)} rows: give one value "
            "per row in each"
        )
    if lengths == {0}:
        raise DataError(f"{where} has no points: add at least 2 rows")
    y = None if labels is None else classes(columns[labels], labels, where)
    return Content(
        features,
        y,
        columns=tuple(features) if named else (),
        label_column=labels or "",
        notes=notes,
        warnings=warnings,
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


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _reason(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0]
    return line.removeprefix("Error tokenizing data. C error: ")
