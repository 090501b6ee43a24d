"""Data in memory: data frames, mappings of columns and arrays."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, DiskError
from . import cells
from .content import Content
from .scaling import Array
from .tables import classes, from_columns

WHERE = "the data"


def content(data: Any, labels: Any) -> Content:
    """Return the content of a data frame, a mapping of columns, or an array of points.

    `labels` is the name of a column, or for an array the labels (N,) themselves.
    """
    table = cells.as_table(data)
    if table is not None:
        if labels is not None and not isinstance(labels, str):
            raise DataError(
                f"labels of type {type(labels).__name__} are no name of a column: add them to the "
                "table and name their column"
            )
        columns = {name: _column(values) for name, values in table.items()}
        return from_columns(columns, labels, WHERE)
    if isinstance(labels, str):
        raise DataError(
            f"labels={labels!r} names a column of a table, but the data are an array: give the "
            "labels themselves"
        )
    x = np.asarray(data)
    return Content(x, _labels(labels))


def save(data: Any, labels: Any, folder: Path) -> tuple[Path, str | None]:
    """Write data to a file below a folder; return its path and the name of the column of labels.

    The name of the file depends on the data alone.
    """
    table = cells.as_table(data)
    try:
        if table is not None:
            return _save_table(table, folder), labels
        x, y = np.asarray(data), _labels(labels)
        digest = hashlib.sha256(np.ascontiguousarray(x).data)
        digest.update(b"" if y is None else np.ascontiguousarray(y).data)
        path = _new_path(folder, digest.hexdigest(), "array.npz")
        if not path.exists():
            with path.with_suffix(".part").open("wb") as file:
                np.savez(file, x=x) if y is None else np.savez(file, x=x, y=y)
            path.with_suffix(".part").replace(path)
    except OSError as error:
        raise DiskError(
            f"the data cannot be written to {folder} ({error.strerror or error}): choose a folder "
            "that can be written to with --artifacts"
        ) from error
    return path, None


def _save_table(table: Mapping[str, Any], folder: Path) -> Path:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    frame = pd.DataFrame(
        {
            name: list(values)
            if np.ndim(values) == 2
            else np.asarray(values, dtype=None)
            if not isinstance(values, pd.Series)
            else values.reset_index(drop=True)
            for name, values in table.items()
        }
    )
    try:
        stored = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the data frame cannot be stored for later ({reason}): give each column one type"
        ) from error
    digest = hashlib.sha256(
        pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes()
    )
    digest.update(repr(tuple(frame.columns)).encode())
    path = _new_path(folder, digest.hexdigest(), "table.parquet")
    if not path.exists():
        parquet.write_table(stored, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return path


def _new_path(folder: Path, digest: str, name: str) -> Path:
    path = folder / digest[:16] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _labels(labels: Any) -> Array | None:
    """Return the labels of an array (N,) as numbers or texts."""
    import pandas as pd

    if labels is None:
        return None
    found = np.asarray(labels)
    return classes(pd.Series(found), "labels", WHERE) if found.dtype == object else found


def _column(values: Any) -> Any:
    """Return a column as a series, or as vectors (N, width) if its cells are such."""
    import pandas as pd

    if isinstance(values, np.ndarray) and values.ndim == 2:
        return values
    series = values.reset_index(drop=True) if isinstance(values, pd.Series) else pd.Series(values)
    first = series.iloc[0] if len(series) else None
    if isinstance(first, list | tuple | np.ndarray):
        try:
            vectors = np.stack([np.asarray(cell, np.float64) for cell in series])
        except (TypeError, ValueError):
            return series
        return vectors if vectors.ndim == 2 else series
    return series
