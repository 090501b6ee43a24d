"""Reads tables from Parquet, Feather and Arrow files, including columns of vectors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from .. import checks
from ..content import Content
from ..preparation import Preparation
from ..scaling import Array
from ..table.cells import require_unique
from .csv_tables import from_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_FILE_MAGIC = b"ARROW1"  # of Arrow and Feather files, not of streams
_FEATHER_V1_MAGIC = b"FEA1"
_INDEX = re.compile(r"__index_level_\d+__")  # the column of an unnamed pandas index


def read_parquet(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the columns of a .parquet file."""
    del preparation
    with reading(where, "a Parquet file"), open_parquet(path, where) as file:
        checks.require_memory(count_values(file), 8, where)
        table = file.read()
        table.validate(full=True)
    return content_of(table, labels, where)


def read_ipc(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the columns of an .arrow or .feather file, in file or stream format."""
    del preparation
    with reading(where, "an Arrow file"), path.open("rb") as stream:
        table = _read_table(stream, where)
    return content_of(table, labels, where)


def open_parquet(path: Path, where: str, *, ahead: bool = True) -> "ParquetFile":
    """Return an open .parquet file with unique columns of single values or vectors.

    With `ahead`, Arrow reads more than is asked for, up to all of the file.
    """
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(path, pre_buffer=ahead)
    _require_columns(file.schema_arrow, where)
    return file


def count_values(file: "ParquetFile") -> int:
    """Return the number of values in all columns of a .parquet file, from its header."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return sum(g.column(j).num_values for g in groups for j in range(g.num_columns))


@contextmanager
def reading(where: str, kind: str) -> Iterator[None]:
    """Turn errors of Arrow into a DataError; those of the operating system stay as they are."""
    import pyarrow as pa

    try:
        yield
    except MemoryError:  # one of Arrow's is an ArrowException as well
        raise
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(where, kind, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(where, kind, error) from error


def _read_table(stream: IO[bytes], where: str) -> "pa.Table":
    import pyarrow as pa

    magic = stream.read(len(_FILE_MAGIC))
    if magic.startswith(_FEATHER_V1_MAGIC):
        raise DataError(
            f"{where} is in the first version of the Feather format: write it again with "
            "DataFrame.to_feather, which writes the second version"
        )
    stream.seek(0)
    is_file = magic == _FILE_MAGIC
    reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
    with reader:
        _require_columns(reader.schema, where)
        batches, read_bytes = [], 0
        for batch in _batches(reader) if is_file else reader:
            batch.validate(full=True)  # first, as nbytes may crash on a damaged batch
            batches.append(batch)
            read_bytes += batch.nbytes
            checks.require_memory(read_bytes // 4, 4, where)
        return pa.Table.from_batches(batches, reader.schema)


def _batches(reader: "pa.ipc.RecordBatchFileReader") -> "Iterator[pa.RecordBatch]":
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def _require_columns(schema: "pa.Schema", where: str) -> None:
    """Raise unless the names of columns are unique."""
    require_unique(schema.names, where)


def content_of(table: "pa.Table", labels: str | None, where: str) -> Content:
    """Return the columns of a table, with labels if a column of them is named."""
    index = [name for name in table.schema.names if _INDEX.fullmatch(name)]
    table = table.drop_columns(index)
    plain = [field.name for field in table.schema if not _is_vector(field.type)]
    frame = table.select(plain).to_pandas(ignore_metadata=True)
    columns: dict[str, Any] = {}
    for name in table.schema.names:
        columns[name] = frame[name] if name in frame else _vectors(table[name])
    notes = [f"column {name!r} is a pandas index, and is left out" for name in index]
    return from_columns(columns, labels, where, notes=tuple(notes))


def _is_vector(kind: "pa.DataType") -> bool:
    """Return whether a type is a list of numbers, in any layout."""
    import pyarrow as pa

    t = pa.types
    lists = (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view)
    if not any(is_type(kind) for is_type in (*lists, t.is_large_list_view)):
        return False
    inner = kind.value_type
    return any(is_type(inner) for is_type in (t.is_integer, t.is_floating, t.is_boolean))


def _vectors(column: "pa.ChunkedArray") -> "Array | pd.Series":
    """Return a column of lists as (N, width), or as it is if they are no vectors of one width."""
    import pyarrow as pa
    from pyarrow import compute

    lengths = compute.list_value_length(column)
    widths = np.asarray(lengths.to_numpy())
    if lengths.null_count or not len(widths) or (widths != widths[0]).any() or widths[0] == 0:
        lists: pd.Series = column.to_pandas()
        return lists
    values = compute.list_flatten(column)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return np.asarray(values.to_numpy()).reshape(-1, int(widths[0]))


def _damaged(where: str, kind: str, error: Exception) -> DataError:
    reason = str(error).strip().partition("\n")[0].rstrip(".:")
    return DataError(f"{where} is truncated, damaged or not {kind} ({reason}): save it again")
