"""Files that are read block by block, because their points may not fit into memory."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ...errors import DataError
from .. import checks
from ..scaling import Array, Shape
from .arrays import read_header
from .arrow import content_of, count_values, open_parquet, reading

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_VALUES = 1 << 20  # per block


class Source(ABC):
    """Raw points in blocks, in the order of the file."""

    def __init__(self, path: Path, labels: str | None, where: str) -> None:
        self.path, self.labels, self.where = path, labels, where

    @property
    @abstractmethod
    def points(self) -> int:
        """The number of points."""

    @property
    @abstractmethod
    def values(self) -> int:
        """The number of values of all points."""

    @property
    def point(self) -> Shape:
        """The shape of one point of an array, () for a table."""
        return ()

    @abstractmethod
    def check(self) -> None:
        """Raise DataError if the file cannot hold what its header promises."""

    @abstractmethod
    def blocks(self) -> Iterator[tuple[Any, Array | None]]:
        """Yield raw points, arrays or mappings of columns, with their labels if they are known."""


@final
class NpySource(Source):
    """An array (N, *shape) in a .npy file, mapped into memory."""

    @cached_property
    def _header(self) -> tuple[np.dtype[Any], Shape, int]:
        """Type, shape, and the length of the header in bytes."""
        with self.path.open("rb") as stream:
            return *read_header(stream, self.where), stream.tell()

    @property
    def points(self) -> int:
        """The number of points."""
        return self._header[1][0]

    @property
    def values(self) -> int:
        """The number of values of all points."""
        return math.prod(self._header[1])

    @property
    def point(self) -> Shape:
        """The shape of one point of an array."""
        return self._header[1][1:]

    def check(self) -> None:
        """Raise DataError if the file cannot hold what its header promises."""
        dtype, shape, start = self._header
        checks.require_points(dtype, shape, self.where)
        if start + math.prod(shape) * dtype.itemsize > self.path.stat().st_size:
            raise DataError(f"{self.where} is truncated: save it again with numpy.save")

    def blocks(self) -> Iterator[tuple[Array, None]]:
        """Yield raw points."""
        x = np.load(self.path, mmap_mode="r", allow_pickle=False)
        rows = max(1, _VALUES // math.prod(self.point))
        for start in range(0, self.points, rows):
            yield checks.native(np.array(x[start : start + rows])), None


@final
class ParquetSource(Source):
    """A table in a .parquet file, read a part of a row group at a time."""

    @cached_property
    def _file(self) -> "ParquetFile":
        with reading(self.where, "a Parquet file"):
            return open_parquet(self.path, self.where, ahead=False)

    @property
    def points(self) -> int:
        """The number of points."""
        return int(self._file.metadata.num_rows)

    @cached_property
    def values(self) -> int:
        """The number of values of all points, labels included."""
        return count_values(self._file)

    def check(self) -> None:
        """Do nothing, as the header comes last: a file that can be opened is complete."""

    def blocks(self) -> Iterator[tuple[Any, Array | None]]:
        """Yield columns by name, with labels if a column of them is named."""
        import pyarrow as pa

        rows = max(1, _VALUES * self.points // max(1, self.values))
        start = 0
        with reading(self.where, "a Parquet file"):
            for batch in self._file.iter_batches(batch_size=rows):
                table = pa.Table.from_batches([batch])
                table.validate(full=True)
                try:
                    content = content_of(table, self.labels, self.where)
                except DataError as error:
                    where = f"rows are counted from row {start:,} of the file"
                    raise DataError(f"{error} ({where})") from None
                yield content.x, content.y
                start += len(table)


_SOURCES: dict[str, type[Source]] = {".npy": NpySource, ".parquet": ParquetSource}


def source(path: Path, labels: str | None, where: str) -> Source | None:
    """Return what reads a file block by block, None if it has no points or no such reader."""
    kind = _SOURCES.get(path.suffix.lower())
    if kind is NpySource and labels is not None:  # told by the reader of whole arrays
        return None
    try:
        usable = kind is not None and path.is_file() and path.stat().st_size > 0
        found = kind(path, labels, where) if kind is not None and usable else None
        return None if found is None or not found.values else found
    except (OSError, ValueError):  # told by whoever reads it as a whole
        return None
