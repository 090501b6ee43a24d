"""Reads NumPy files (.npy and .npz) without ever unpickling anything."""

import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import DataError
from .. import checks
from ..content import Content
from ..preparation import Preparation
from ..scaling import Array, Shape

_Header = tuple[np.dtype[Any], Shape]
_MEMBERS = ("x", "y", "x_test", "y_test")
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,  # a compression that zipfile does not support
    RuntimeError,  # an encrypted file
    ValueError,
)


def read_npy(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the points (N, *shape) of a .npy file."""
    del preparation
    if labels is not None:
        raise DataError(
            f"labels={labels!r} names a column of a table, but {where} is a plain array: save the "
            "labels as y next to x in an .npz file, or leave out labels"
        )
    with path.open("rb") as stream:
        dtype, shape = read_header(stream, where)
        checks.require_points(dtype, shape, where)
        checks.require_memory(math.prod(shape), dtype.itemsize, where)
        stream.seek(0)
        return Content(_read_body(stream, where))


def read_npz(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the points `x` of an .npz file, with `y`, `x_test` and `y_test` if present.

    A sparse matrix of SciPy is returned as the points.
    """
    del preparation
    if labels is not None:
        raise DataError(
            f"labels={labels!r} names a column of a table, but an .npz file stores labels "
            "as y and y_test: leave out labels"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if {"data", "format", "shape"} <= set(members):
                return Content(_read_sparse(archive, path, members, where))
            _require_members(members, where)
            _require_usable(archive, members, where)
            parts = {key: _read_member(archive, members.get(key), where) for key in _MEMBERS}
    except _READ_ERRORS as error:
        raise _damaged(where, error) from error
    x = parts.pop("x")
    assert x is not None
    return Content(x, parts["y"], parts["x_test"], parts["y_test"])


def _require_members(members: Mapping[str, str], where: str) -> None:
    if "x" not in members:
        present = ", ".join(sorted(members)[:8])
        raise DataError(
            f"{where} has no array x ({f'it has {present}' if present else 'it is empty'}): save "
            "the points as x, and optionally y, x_test and y_test"
        )


def _read_sparse(
    archive: zipfile.ZipFile, path: Path, members: Mapping[str, str], where: str
) -> Array:
    """Return a sparse matrix of SciPy with its zeros."""
    from scipy import sparse

    with archive.open(members["shape"]) as stream:
        rows, columns = (int(size) for size in _read_body(stream, where))
    with archive.open(members["data"]) as stream:
        dtype, _ = read_header(stream, where)
    checks.require_points(dtype, (rows, columns), where)
    checks.require_memory(rows * columns, dtype.itemsize, where)
    return np.asarray(sparse.load_npz(path).toarray())


def _require_usable(archive: zipfile.ZipFile, members: Mapping[str, str], where: str) -> None:
    """Raise unless the types and shapes in the headers are usable and the arrays fit in memory."""
    values, itemsize = 0, 1
    for key in (key for key in _MEMBERS if key in members):
        with archive.open(members[key]) as stream:
            dtype, shape = read_header(stream, f"{where} ({key})")
        if key.startswith("x"):
            checks.require_points(dtype, shape, f"{where} ({key})")
        else:
            checks.require_labels(dtype, f"{where} ({key})")
        values, itemsize = values + math.prod(shape), max(itemsize, dtype.itemsize)
    checks.require_memory(values, itemsize, where)


def _read_member(archive: zipfile.ZipFile, name: str | None, where: str) -> Array | None:
    if name is None:
        return None
    with archive.open(name) as stream:
        return _read_body(stream, where)


def read_header(stream: IO[bytes], where: str) -> _Header:
    """Return type and shape without reading the values."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"format {version[0]}.{version[1]}, not 1.0 or 2.0")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # numpy parses the header as Python and raises errors of many types
        raise _damaged(where, error) from error
    if any(size < 0 for size in shape):
        raise _damaged(where, ValueError(f"the shape {shape}"))
    return dtype, shape


def _read_body(stream: IO[bytes], where: str) -> Array:
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> DataError:
    reason = str(error).strip().partition("\n")[0]
    return DataError(
        f"{where} is truncated, damaged or not what its extension says ({reason}): save it again "
        "with numpy.save or numpy.savez"
    )
