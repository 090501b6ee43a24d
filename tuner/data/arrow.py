"""Tables as Arrow keeps them: Parquet, Feather and Arrow's own files, vectors included."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from . import checks
from .dataset import Content
from .scaling import Array
from .tables import content

if TYPE_CHECKING:
    import pyarrow as pa

_FILE = b"ARROW1"  # what a Feather file and an Arrow file begin with; a stream does not
_FIRST_FEATHER = b"FEA1"
_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name


def parquet(path: Path, labels: str | None, where: str) -> Content:
    """Return the numbers and vectors of a .parquet file."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _require_columns(file.schema_arrow, where)
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            values = sum(g.column(j).num_values for g in groups for j in range(g.num_columns))
            checks.require_memory(values, 8, where)
            table = file.read()
            table.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(where, "Parquet file", error) from error
    except OSError as error:
        raise _unreadable(where, "Parquet file", error) from error
    return _content(table, labels, where)


def ipc(path: Path, labels: str | None, where: str) -> Content:
    """Return the numbers and vectors of a .arrow or .feather file, be it a file or a stream."""
    import pyarrow as pa

    try:
        with path.open("rb") as stream:
            table = _table(stream, where)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(where, "Arrow file", error) from error
    except OSError as error:
        raise _unreadable(where, "Arrow file", error) from error
    return _content(table, labels, where)


def _table(stream: IO[bytes], where: str) -> "pa.Table":
    import pyarrow as pa

    magic = stream.read(len(_FILE))
    if magic.startswith(_FIRST_FEATHER):
        raise DataError(
            f"{where} is of the first version of Feather: write it again with pandas' to_feather, "
            "which writes the second"
        )
    stream.seek(0)
    is_file = magic == _FILE
    reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
    with reader:
        _require_columns(reader.schema, where)
        batches, held = [], 0
        for batch in _batches(reader) if is_file else reader:
            batch.validate(full=True)  # before all else: a damaged one may not even be measured
            batches.append(batch)
            held += batch.nbytes
            checks.require_memory(held // 4, 4, where)
        return pa.Table.from_batches(batches, reader.schema)


def _batches(reader: "pa.ipc.RecordBatchFileReader") -> "Iterator[pa.RecordBatch]":
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def _require_columns(schema: "pa.Schema", where: str) -> None:
    """Raise unless every column has a name of its own and holds single values or vectors."""
    import pyarrow as pa

    counts = Counter(schema.names)
    for field in schema:
        if counts[field.name] > 1:
            raise DataError(f"{where} has several columns {field.name!r}: give each its own name")
        if _INDEX.fullmatch(field.name):
            raise DataError(
                f"column {field.name!r} of {where} holds the row labels of pandas, not a feature: "
                "save the table with index=False"
            )
        storage = getattr(field.type, "storage_type", field.type)
        if pa.types.is_nested(storage) and not _is_vector(field.type):
            raise DataError(
                f"column {field.name!r} of {where} is nested ({field.type}): give every number a "
                "column of its own, or every row one vector (list<float>)"
            )


def _content(table: "pa.Table", labels: str | None, where: str) -> Content:
    plain = [field.name for field in table.schema if not _is_vector(field.type)]
    frame = table.select(plain).to_pandas(ignore_metadata=True)
    columns: dict[str, Any] = {}
    for name in table.schema.names:
        columns[name] = frame[name] if name in frame else _vectors(table[name], name, where)
    return content(columns, labels, where)


def _is_vector(kind: "pa.DataType") -> bool:
    """Return whether a type is a list of numbers, whatever its layout."""
    import pyarrow as pa

    t = pa.types
    lists = (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view)
    if not any(is_one(kind) for is_one in (*lists, t.is_large_list_view)):
        return False
    inner = kind.value_type
    return any(is_one(inner) for is_one in (t.is_integer, t.is_floating, t.is_boolean))


def _vectors(column: "pa.ChunkedArray", name: str, where: str) -> Array:
    """Return a column of lists as (N, width), or raise with the row that has another width."""
    import pyarrow as pa
    from pyarrow import compute

    lengths = compute.list_value_length(column)
    if lengths.null_count:
        row = _first(lengths.is_null().to_numpy())
        raise DataError(
            f"column {name!r} of {where} has no vector in row {row} (counted from 0): fill it in, "
            "or leave the row out"
        )
    widths = lengths.to_numpy()
    width = int(widths[0]) if len(widths) else 1
    if (widths != width).any():
        row = _first(widths != width)
        raise DataError(
            f"column {name!r} of {where} holds a vector of {widths[row]} numbers in row {row} "
            f"(counted from 0) and one of {width} in row 0: give all rows the same number"
        )
    if width == 0:
        raise DataError(
            f"column {name!r} of {where} holds vectors without numbers: leave the column out"
        )
    values = compute.list_flatten(column)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return np.asarray(values.to_numpy()).reshape(-1, width)


def _first(wanted: Array) -> int:
    return int(np.asarray(wanted).argmax())


def _unreadable(where: str, kind: str, error: OSError) -> Exception:
    """Return the error itself where the system made it, else what Arrow means by it."""
    return error if error.errno is not None else _damaged(where, kind, error)


def _damaged(where: str, kind: str, error: Exception) -> DataError:
    said = str(error).strip().partition("\n")[0].rstrip(".:")
    return DataError(f"{where} is cut, damaged or no {kind} ({said}): save it again")
