"""The cells of one column as numbers or as texts, from any container that users bring."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Array = NDArray[Any]


def as_table(raw: Any) -> Mapping[str, Any] | None:
    """Return data with named columns by name, each of shape (N,) or (N, width); else None.

    Takes data frames, mappings of columns, a mapping that is one row, and a list of rows.
    """
    if hasattr(raw, "to_pandas"):  # of polars or Arrow
        raw = raw.to_pandas()
    if hasattr(raw, "columns") and hasattr(raw, "iloc"):
        return _by_name(raw)
    if isinstance(raw, Mapping):
        if any(isinstance(value, str) or np.ndim(value) == 0 for value in raw.values()):
            raw = {name: [value] for name, value in raw.items()}
        return {str(name): values for name, values in raw.items()}
    if isinstance(raw, Sequence) and raw and all(isinstance(row, Mapping) for row in raw):
        import pandas as pd

        return _by_name(pd.DataFrame.from_records(list(raw)))
    return None


def numbers(values: Any, name: str, missing: tuple[str | float, ...] = ()) -> NDArray[np.float64]:
    """Return a column as numbers (N,) with NaN for missing cells, or raise DataError.

    `missing` are the values that mean missing.
    """
    found = try_numbers(values, missing)
    if isinstance(found, np.ndarray):
        return found
    row, value = found
    raise DataError(
        f"column {name!r} holds {value!r} in row {row}, not a number: write numbers with a "
        "decimal point"
    )


def try_numbers(
    values: Any, missing: tuple[str | float, ...] = ()
) -> NDArray[np.float64] | tuple[int, str]:
    """Return a column as numbers (N,), or the row and the text of the first that is none."""
    import pandas as pd

    series = values if isinstance(values, pd.Series) else pd.Series(values)
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        series = series.astype(object)
    if pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind != "c":
        column = series.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        known = series.astype(object)
        known = known.where(~known.isin(list(missing)) & known.notna(), None)
        parsed = pd.to_numeric(known, errors="coerce").astype(np.float64)
        wrong = parsed.isna() & known.notna()
        if pd.api.types.is_datetime64_any_dtype(kind) or wrong.any():
            row = int(wrong.to_numpy().argmax())
            return row, str(series.iloc[row])
        column = parsed.to_numpy()
    marks = [value for value in map(as_number, missing) if value is not None]
    return np.where(np.isin(column, marks), np.nan, column) if marks else column


def texts(values: Any, missing: tuple[str | float, ...] = ()) -> Array:
    """Return a column as texts (N,), with None for missing cells."""
    import pandas as pd

    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if pd.api.types.is_float_dtype(series.dtype):
        series = series.astype(object).map(lambda v: f"{v:.15g}", na_action="ignore")
    found = series.astype(object)
    gone = found.isna().to_numpy()
    column = np.array(
        [None if out else str(v) for v, out in zip(found, gone, strict=True)], object
    )
    marks = {value if isinstance(value, str) else f"{value:.15g}" for value in missing}
    return np.array([None if v in marks else v for v in column], object) if marks else column


def _by_name(frame: Any) -> dict[str, Any]:
    names = [str(name) for name in frame.columns]
    twice = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if twice:
        raise DataError(f"the table has several columns {min(twice)!r}: rename all but one")
    return {name: frame.iloc[:, i] for i, name in enumerate(names)}


def as_number(value: str | float) -> float | None:
    """Return a value as a number, None if it is none."""
    try:
        return float(value)
    except ValueError:
        return None


def listing(names: Sequence[str]) -> str:
    """Return names for a message, at most eight of them."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more
