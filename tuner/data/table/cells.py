"""The cells of one column as numbers or as texts, from any container that users bring."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
Marks = tuple[str | float, ...]

_TRUTH = {"true": 1.0, "false": 0.0}


def as_table(raw: Any) -> Mapping[str, Any] | None:
    """Return data with named columns by name, each of shape (N,) or (N, width); else None.

    Takes data frames, mappings of columns, a mapping that is one row, and a list of rows.
    """
    if hasattr(raw, "to_pandas"):  # of polars or Arrow
        raw = raw.to_pandas()
    if hasattr(raw, "columns") and hasattr(raw, "iloc"):
        return _by_name(raw)
    if isinstance(raw, Mapping):
        if any(_is_single(value) for value in raw.values()):
            raw = {name: [value] for name, value in raw.items()}
        return {str(name): values for name, values in raw.items()}
    if isinstance(raw, Sequence) and raw and all(isinstance(row, Mapping) for row in raw):
        import pandas as pd

        return _by_name(pd.DataFrame.from_records(list(raw)))
    return None


def numbers(values: Any, name: str, missing: Marks = ()) -> NDArray[np.float64]:
    """Return a column as numbers (N,) with NaN for missing cells, or raise DataError.

    `missing` are the values that mean missing.
    """
    found = try_numbers(as_series(values, name), missing)
    if isinstance(found, np.ndarray):
        return found
    row, value = found
    raise DataError(
        f"column {name!r} holds {value!r} in row {row}, not a number: write numbers with a "
        "decimal point"
    )


def booleans(values: Any, name: str, missing: Marks = ()) -> NDArray[np.float64]:
    """Return a column of booleans as 0 and 1 (N,), also from texts, or raise DataError."""
    series = as_series(values, name)
    if not _is_numeric(series):
        known = texts(series, name, missing)
        series = as_series([_TRUTH.get(str(v).lower(), v) for v in known], name)
    found = numbers(series, name)
    wrong = ~(np.isnan(found) | (found == 0) | (found == 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"column {name!r} holds {found[row]:g} in row {row}, not a boolean: write True or "
            "False, or 1 or 0"
        )
    return found


def are_booleans(known: Sequence[str]) -> bool:
    """Return whether texts are True and False, in any case."""
    return bool(known) and {text.lower() for text in known} <= _TRUTH.keys()


def try_numbers(series: "pd.Series", missing: Marks = ()) -> NDArray[np.float64] | tuple[int, str]:
    """Return a column as numbers (N,), or the row and the text of the first that is none."""
    import pandas as pd

    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        series = series.astype(object)
    if _is_numeric(series):
        column = series.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        known = series.astype(object)
        known = known.where(known.notna(), None)
        if missing:
            known = known.where(~_is_mark(known, missing), None)
        real = known.map(lambda value: not isinstance(value, complex | np.complexfloating))
        parsed = pd.to_numeric(known.where(real, "complex"), errors="coerce").astype(np.float64)
        wrong = parsed.isna() & known.notna()
        if pd.api.types.is_datetime64_any_dtype(kind) or wrong.any():
            row = int(wrong.to_numpy().argmax())
            return row, str(series.iloc[row])
        column = parsed.to_numpy()
    if pd.api.types.is_bool_dtype(kind):  # False is not a number that means missing
        return column
    marks = as_numbers(missing)
    return np.where(np.isin(column, marks), np.nan, column) if marks else column


def texts(values: Any, name: str, missing: Marks = ()) -> Array:
    """Return a column as texts (N,), with None for missing cells."""
    series = as_series(values, name)
    found = series.astype(object)
    gone = found.isna().to_numpy()
    column = [None if out else as_text(v) for v, out in zip(found, gone, strict=True)]
    marks = {as_text(value) for value in missing}
    return np.array([None if v in marks else v for v in column], object)


def holds(values: Any, name: str, mark: str | float) -> bool:
    """Return whether a column has a cell that a value would mark as missing."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return False
    series = as_series(values, name)
    if _is_numeric(series):
        found = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return bool(np.isin(found, as_numbers((mark,))).any())
    return bool(_is_mark(series.astype(object), (mark,)).any())


def as_series(values: Any, name: str) -> "pd.Series":
    """Return the cells of a column (N,) as a series, or raise DataError."""
    import pandas as pd

    if isinstance(values, pd.Series):
        return values
    if isinstance(values, np.ma.MaskedArray):
        shown = np.ma.getdata(values).astype(object)
        shown[np.ma.getmaskarray(values)] = None
        values = shown
    try:
        return pd.Series(values)
    except (TypeError, ValueError):
        raise DataError(
            f"column {name!r} does not hold one value per row: give a sequence of values"
        ) from None


def as_text(value: Any) -> str:
    """Return a cell as text; whole floats have no decimals."""
    return f"{value:.15g}" if isinstance(value, float | np.floating) else str(value)


def as_numbers(values: Marks) -> list[float]:
    """Return those of the values that are numbers, as such."""
    found = []
    for value in values:
        try:
            found.append(float(value))
        except ValueError:
            continue
    return found


def exact(value: float) -> str:
    """Return a number as the shortest text that means the same number."""
    return repr(float(value)).removesuffix(".0")


def listing(names: Sequence[str]) -> str:
    """Return names for a message, at most eight of them."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more


def _is_single(value: Any) -> bool:
    """Return whether a value is one cell, not a column of them."""
    return (
        isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0
    )


def _is_numeric(series: "pd.Series") -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind != "c"


def _is_mark(known: "pd.Series", missing: Marks) -> "pd.Series":
    """Return which cells of an object column mean missing, as texts or as numbers."""
    words, values = {as_text(value) for value in missing}, set(as_numbers(missing))

    def means_missing(value: Any) -> bool:
        if isinstance(value, bool | np.bool_) or value is None:
            return False
        return as_text(value) in words or (
            isinstance(value, int | float | np.number) and value in values
        )

    return known.map(means_missing)


def _by_name(frame: Any) -> dict[str, Any]:
    names = [str(name) for name in frame.columns]
    require_unique(names, "the table")
    return {name: frame.iloc[:, i] for i, name in enumerate(names)}


def require_unique(names: Sequence[str], where: str) -> None:
    """Raise DataError if two columns have one name."""
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"{where} has several columns {twice!r}: rename all but one")
