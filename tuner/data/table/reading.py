"""What one column of a table is taken for, from its type and its cells."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..preparation import Preparation
from ..scaling import Array
from . import cells
from .columns import BOOLEAN, CATEGORY, NUMBER, ORDINAL, VECTOR, Column
from .problems import Problem
from .profile import MAX_VALUE

MAX_CATEGORIES = 30
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_MANY = 3  # different texts among numbers that may each be a mark for missing values
_READABLE = ("string", "boolean", "mixed", "mixed-integer", "categorical", "empty")

Found = tuple[Column, Array] | Problem


def read_column(name: str, values: Any, preparation: Preparation) -> Found:
    """Return a column with its cells as numbers, vectors or texts, or why it cannot be used."""
    import pandas as pd

    if isinstance(values, np.ndarray) and values.ndim == 2:
        return _vector(name, values)
    series = cells.as_series(values, name)
    kind, marks = series.dtype, tuple(preparation.missing_values)
    inferred = pd.api.types.infer_dtype(series, skipna=True)
    if (problem := _unusable(name, series, inferred)) is not None:
        return problem
    if name in preparation.ordinal:
        return _ordinal(name, cells.texts(series, name, marks), preparation.ordinal[name])
    if isinstance(kind, pd.CategoricalDtype) and kind.ordered:
        order = [cells.as_text(value) for value in kind.categories]
        return _ordinal(name, cells.texts(series, name, marks), order)
    if isinstance(kind, pd.CategoricalDtype) or name in preparation.categories:
        return _category(name, cells.texts(series, name, marks))
    numbers = cells.try_numbers(series, marks)
    if not isinstance(numbers, np.ndarray):
        return _text(name, cells.texts(series, name, marks))
    if len(numbers) and np.isnan(numbers).all():
        return Problem(name, "has no values", "drop")
    return Column(name=name, kind=BOOLEAN if inferred == "boolean" else NUMBER), numbers


def _unusable(name: str, series: Any, inferred: str) -> Problem | None:
    """Return why cells of this type cannot be used, None if they can."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return None
    if "date" in inferred or "time" in inferred or inferred == "period":
        return Problem(name, "holds dates or times", "drop")
    if series.dtype.kind == "c":
        return Problem(name, "holds values of type complex", "drop")
    if series.dtype != object or inferred in ("string", "boolean", "integer", "floating"):
        return None
    known = series[series.map(lambda cell: not _is_gap(cell))]
    kinds = {type(cell).__name__ for cell in known}
    lists = known.map(lambda cell: isinstance(cell, list | tuple | np.ndarray))
    if len(known) and lists.all():
        return _lists(name, series, known)
    numbers = ("decimal", "mixed-integer-float")
    if lists.any() or kinds & {"dict", "set", "bytes", "complex"}:
        return Problem(name, f"holds values of type {', '.join(sorted(kinds))}", "drop")
    if inferred in (*_READABLE, *numbers):
        return None
    return Problem(name, f"holds values of type {', '.join(sorted(kinds))}", "drop")


def _lists(name: str, series: Any, known: Any) -> Problem:
    """Return why lists are no vectors: rows without one, of another length, or without numbers."""
    if len(known) < len(series):
        row = int(series.map(_is_gap).to_numpy().argmax())
        return Problem(name, f"has no vector in row {row}", "drop")
    lengths = known.map(len).to_numpy()
    wrong = lengths != lengths[0]
    if wrong.any():
        row = int(wrong.argmax())
        return Problem(
            name,
            f"has a vector of {lengths[row]} numbers in row {row}, but one of {lengths[0]} in "
            "row 0",
            "drop",
        )
    if lengths[0] == 0:
        return Problem(name, "has vectors of length 0", "drop")
    return Problem(name, "holds lists that are no vectors of numbers", "drop")


def _is_gap(cell: Any) -> bool:
    """Return whether a cell is empty, which a list, a mapping and the like are not."""
    import pandas as pd

    missing = pd.isna(cell)
    return missing if isinstance(missing, bool) else False


def _text(name: str, texts: Array) -> Found:
    """Return a column of texts as booleans or categories, or why it cannot be one."""
    import pandas as pd

    known = [text for text in texts if text is not None]
    if cells.are_booleans(known):
        return Column(name=name, kind=BOOLEAN), cells.booleans(texts, name)
    parsed = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").isna().to_numpy()
    rows = [row for row in np.flatnonzero(parsed) if texts[row] is not None]
    wrong = [texts[row] for row in rows]
    if wrong and len(wrong) < len(known) / 2:  # mostly numbers
        marks = tuple(dict.fromkeys(wrong))
        what = f"holds {wrong[0]!r} in row {rows[0]} among numbers"
        if len(marks) <= _MANY:
            return Problem(name, what, "missing-value", marks)
        return Problem(name, what, "drop")
    if wrong and all(map(_THOUSANDS.fullmatch, wrong)):
        advice = "write numbers without separators of thousands"
        return Problem(name, f"holds {wrong[0]!r}, with separators", "write", (advice,))
    if wrong and all(map(_DECIMAL_COMMA.fullmatch, wrong)):
        advice = "write numbers with a decimal point"
        return Problem(name, f"holds {wrong[0]!r}, with a decimal comma", "write", (advice,))
    if sum(_DATE.match(text) is not None for text in known) > len(known) / 2:
        return Problem(name, f"holds dates such as {known[0]!r}", "drop")
    return _category(name, texts)


def _category(name: str, texts: Array) -> Found:
    known = [text for text in texts if text is not None]
    categories = tuple(sorted(set(known)))
    if not categories:
        return Problem(name, "has no values", "drop")
    if len(categories) > MAX_CATEGORIES or (
        len(categories) > 2 and 2 * len(categories) > len(known)
    ):
        return Problem(
            name, f"holds {len(categories):,} different texts, such as {known[0]!r}", "drop"
        )
    return Column(name=name, kind=CATEGORY, categories=categories), texts


def _ordinal(name: str, texts: Array, order: Sequence[str]) -> Found:
    known = {text for text in texts if text is not None}
    if unknown := sorted(known - set(order)):
        return Problem(
            name,
            f"holds {unknown[0]!r}, which --ordinal {name}={','.join(order)} lacks",
            "ordinal",
        )
    return Column(name=name, kind=ORDINAL, categories=tuple(order)), texts


def _vector(name: str, values: Array) -> Found:
    usable = np.abs(values.astype(np.float64)) <= MAX_VALUE  # false for NaN as well
    if not usable.all():
        row, i = (int(place) for place in np.argwhere(~usable)[0])
        return Problem(name, f"holds {values[row, i]:g} in row {row}, at [{i}]", "drop")
    return Column(name=name, kind=VECTOR, width=values.shape[1]), values
