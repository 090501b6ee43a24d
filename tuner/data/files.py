"""Data from a file, read as a whole and only once it is known to fit."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, did_you_mean
from . import arrays, tables
from .dataset import Content

_READERS: dict[str, Callable[[Path, str | None, str], Content]] = {
    ".npy": arrays.npy,
    ".npz": arrays.npz,
    ".csv": tables.comma_separated,
    ".parquet": tables.parquet,
}
ENDINGS = tuple(_READERS)


def read(path: Path, labels: str | None) -> Content:
    """Return what a .npy, .npz, .csv or .parquet file holds. Raises DataError."""
    where = shown(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{where} ends in {path.suffix!r}, which cannot be read: give a file that ends in "
            f"{', '.join(ENDINGS)}"
        )
    try:
        before = _status(path)
        content = reader(path, labels, where)
        after = _status(path)
    except OSError as error:
        raise DataError(
            f"{where} cannot be read ({error.strerror if error.strerror else error}): "
            "check the path and its permissions"
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{where} does not fit into memory: give a sample of its points"
        ) from error
    if before != after:
        raise DataError(f"{where} was changed while it was read: wait until it is complete")
    return content


def shown(path: Path) -> str:
    """Return the path as error sentences show it, on one line whatever it holds."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _status(path: Path) -> tuple[int, int, int, int]:
    """Return what changes when a file is written or replaced, or raise what it is instead."""
    where = shown(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last: a NUL
        raise DataError(f"there is no file {where}{_similar(path)}: check the path") from error
    if path.is_dir():
        raise DataError(
            f"{where} is a folder: give one file in it that ends in {', '.join(ENDINGS)}"
        )
    if not path.is_file():
        raise DataError(f"{where} is no regular file: copy the data to one")
    if status.st_size == 0:
        raise DataError(f"{where} is empty: it was not written to its end, so save it again")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _similar(path: Path) -> str:
    try:
        return did_you_mean(path.name, os.listdir(path.parent))
    except (OSError, ValueError):
        return ""
