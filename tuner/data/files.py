"""Data from a file or a folder, read as a whole and only once it is known to fit."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, did_you_mean
from . import arrays, arrow, folders, tables
from .checks import shown
from .dataset import Content

_READERS: dict[str, Callable[[Path, str | None, str], Content]] = {
    ".npy": arrays.npy,
    ".npz": arrays.npz,
    ".csv": tables.comma_separated,
    ".parquet": arrow.parquet,
    ".arrow": arrow.ipc,
    ".feather": arrow.ipc,
}
ENDINGS = tuple(_READERS)


def read(path: Path, labels: str | None) -> Content:
    """Return what a file of a known ending, or a folder of images, holds. Raises DataError."""
    where = shown(path)
    try:
        before = _status(path)
        content = _reader(path)(path, labels, where)
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


def _reader(path: Path) -> Callable[[Path, str | None, str], Content]:
    if path.is_dir():
        return folders.images
    if path.suffix.lower() not in _READERS:
        raise DataError(
            f"{shown(path)} ends in {path.suffix!r}, which cannot be read: give a file that ends "
            f"in {', '.join(ENDINGS)}, or a folder of images"
        )
    return _READERS[path.suffix.lower()]


def _status(path: Path) -> tuple[object, ...]:
    """Return what changes when data are written or replaced, or raise what is there instead."""
    where = shown(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last: a NUL
        raise DataError(f"there is no file {where}{_similar(path)}: check the path") from error
    if path.is_dir():
        return folders.state(path)
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
