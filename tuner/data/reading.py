"""What one column of a table is taken for, from its type and its cells."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import cells
from .columns import BOOLEAN, CATEGORY, NUMBER, ORDINAL, VECTOR, Column
from .preparation import Preparation
from .problems import Problem
from .profile import MAX_VALUE
from .scaling import Array

MAX_CATEGORIES = 30
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_MANY = 3  # different texts among numbers that may each be a mark for missing values


def read_column(
    name: str, values: Any, preparation: Preparation
) -> tuple[Column, Array] | Problem:
    """Return a column with its cells as numbers, vectors or texts, or why it cannot be used."""
    import pandas as pd

    if isinstance(values, np.ndarray) and values.ndim == 2:
        return _vector(name, values)
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    kind, marks = series.dtype, tuple(preparation.missing_values)
    if name in preparation.ordinal:
        return _ordinal(name, cells.texts(series, marks), preparation.ordinal[name])
    if isinstance(kind, pd.CategoricalDtype):
        if kind.ordered:
            return _ordinal(name, cells.texts(series, marks), list(map(str, kind.categories)))
        series = series.astype(object)
    if pd.api.types.is_datetime64_any_dtype(kind):
        return Problem(name, "holds dates", "drop")
    inferred = pd.api.types.infer_dtype(series, skipna=True)
    if inferred in ("bytes", "complex"):
        return Problem(name, f"holds values of type {inferred}", "drop")
    numbers = cells.try_numbers(series, marks)
    if isinstance(numbers, np.ndarray):
        if np.isnan(numbers).all() and len(numbers):
            return Problem(name, "has no values", "drop")
        return Column(name=name, kind=BOOLEAN if inferred == "boolean" else NUMBER), numbers
    first_row = numbers[0]
    if inferred not in ("string", "boolean", "mixed", "mixed-integer", "categorical"):
        what = "dates" if "date" in inferred or "time" in inferred else f"values of type {kind}"
        return Problem(name, f"holds {what}", "drop")
    return _text(name, cells.texts(series, marks), first_row)


def _text(name: str, texts: Array, first_row: int) -> tuple[Column, Array] | Problem:
    """Return a column of texts as categories, or why it cannot be one."""
    known = [text for text in texts if text is not None]
    wrong = [text for text in known if not _is_number(text)]
    if len(wrong) < len(known) / 2 and wrong:  # mostly numbers
        marks = sorted(set(wrong))
        what = f"holds {marks[0]!r} in row {first_row} among numbers"
        if len(marks) <= _MANY:
            return Problem(name, what, "missing-value", tuple(marks))
        return Problem(name, what, "drop")
    if all(map(_DECIMAL_COMMA.fullmatch, wrong)):
        return Problem(name, f"holds {wrong[0]!r}, with a decimal comma", "write")
    if sum(_DATE.match(text) is not None for text in known) > len(known) / 2:
        return Problem(name, f"holds dates such as {known[0]!r}", "drop")
    return _category(name, texts)


def _category(name: str, texts: Array) -> tuple[Column, Array] | Problem:
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


def _ordinal(name: str, texts: Array, order: Sequence[str]) -> tuple[Column, Array] | Problem:
    known = {text for text in texts if text is not None}
    if unknown := sorted(known - set(order)):
        return Problem(
            name,
            f"holds {unknown[0]!r}, which --ordinal {name}={','.join(order)} lacks",
            "ordinal",
        )
    return Column(name=name, kind=ORDINAL, categories=tuple(order)), texts


def _vector(name: str, values: Array) -> tuple[Column, Array] | Problem:
    usable = np.abs(values.astype(np.float64)) <= MAX_VALUE  # false for NaN as well
    if not usable.all():
        row, i = (int(place) for place in np.argwhere(~usable)[0])
        return Problem(name, f"holds {values[row, i]:g} in row {row}, at [{i}]", "drop")
    return Column(name=name, kind=VECTOR, width=values.shape[1]), values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True
