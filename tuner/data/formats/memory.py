"""Data in memory: data frames, mappings of columns and arrays."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, DiskError
from ..content import Content
from ..scaling import Array
from ..table import cells
from .csv_tables import classes, from_columns

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
        columns = {name: _column(values, name) for name, values in table.items()}
        return from_columns(columns, labels, WHERE)
    if isinstance(labels, str):
        raise DataError(
            f"labels={labels!r} names a column of a table, but the data are an array: give the "
            "labels themselves"
        )
    return Content(_array(data), _labels(labels))


def save(data: Any, labels: Any, folder: Path) -> tuple[Path, str | None]:
    """Write data to a file below a folder; return its path and the name of the column of labels.

    The path depends on the data alone.
    """
    table = cells.as_table(data)
    name = "array.npz" if table is None else "table.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            written = Path(scratch) / name
            if table is None:
                _write_array(_array(data), _labels(labels), written)
            else:
                _write_table(table, written)
            digest = hashlib.sha256(written.read_bytes()).hexdigest()
            path = folder / digest[:16] / name
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                os.replace(written, path)
    except OSError as error:
        raise DiskError(
            f"the data cannot be written to {folder} ({error.strerror or error}): choose a folder "
            "that can be written to with --artifacts"
        ) from error
    return path, None if table is None else labels


def _write_array(x: Array, y: Array | None, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=x) if y is None else np.savez(file, x=x, y=y)


def _write_table(table: Mapping[str, Any], path: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: _column(values, name) for name, values in table.items()}
    try:
        frame = pd.DataFrame({name: _storable(column) for name, column in columns.items()})
        stored = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the table cannot be stored for later ({reason}): give each column one type"
        ) from error
    parquet.write_table(stored, path)


def _storable(column: Any) -> Any:
    """Return a column as a file holds it: categories are texts there, or they would be numbers."""
    import pandas as pd

    if isinstance(column, np.ndarray):
        return list(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(list(map(cells.as_text, column.cat.categories)))
    return column


def _array(data: Any) -> Array:
    """Return points as an array of numbers, or raise DataError."""
    try:
        if hasattr(data, "detach"):  # a tensor
            data = data.detach().cpu()
        if isinstance(data, np.ma.MaskedArray):
            data = np.ma.filled(data.astype(np.float64), np.nan)
        x = np.asarray(data)
        return x.astype(np.float64) if x.dtype == object else x
    except (TypeError, ValueError, RuntimeError):
        raise DataError(
            f"data of type {type(data).__name__} are no points: give a data frame, a mapping of "
            "columns, an array of numbers, or the path of a file"
        ) from None


def _labels(labels: Any) -> Array | None:
    """Return the labels of an array (N,) as numbers or texts."""
    if labels is None:
        return None
    found = np.asarray(labels)
    if found.dtype != object or found.ndim != 1:
        return found
    return classes(cells.as_series(found, "labels"), "labels", WHERE)


def _column(values: Any, name: str) -> Any:
    """Return a column as a series, or as vectors (N, width) if its cells are such."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return values
    series = cells.as_series(values, name).reset_index(drop=True)
    first = series.iloc[0] if len(series) else None
    if isinstance(first, list | tuple | np.ndarray):
        try:
            vectors = np.stack([np.asarray(cell, np.float64) for cell in series])
        except (TypeError, ValueError):
            return series
        return vectors if vectors.ndim == 2 else series
    return series
