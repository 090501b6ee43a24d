"""Reads data from a file or a folder, after checking that they fit in memory."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, did_you_mean
from . import arrays, arrow, folders, tables
from .checks import shown
from .dataset import Content

_READERS: dict[str, Callable[[Path, str | None, str], Content]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".csv": tables.read_csv,
    ".parquet": arrow.read_parquet,
    ".arrow": arrow.read_ipc,
    ".feather": arrow.read_ipc,
}
EXTENSIONS = tuple(_READERS)


def read(path: Path, labels: str | None) -> Content:
    """Return the content of a file with a known extension or of a folder of images.

    Raises DataError.
    """
    where = shown(path)
    try:
        before = _status(path)
        content = _reader(path)(path, labels, where)
        after = _status(path)
    except OSError as error:
        raise DataError(
            f"{where} cannot be read ({error.strerror or error}): "
            "check the path and its permissions"
        ) from error
    except MemoryError as error:
        raise DataError(f"{where} does not fit into memory: use a sample of its points") from error
    if before != after:
        raise DataError(f"{where} was changed while it was read: try again once it is complete")
    return content


def _reader(path: Path) -> Callable[[Path, str | None, str], Content]:
    if path.is_dir():
        return folders.read_images
    if path.suffix.lower() not in _READERS:
        raise DataError(
            f"{shown(path)} has the extension {path.suffix!r}, which cannot be read: give a file "
            f"with one of {', '.join(EXTENSIONS)}, or a folder of images"
        )
    return _READERS[path.suffix.lower()]


def _status(path: Path) -> tuple[object, ...]:
    """Return values that change when the data are written or replaced. Raises DataError."""
    where = shown(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a null byte
        raise DataError(f"there is no file {where}{_similar(path)}: check the path") from error
    if path.is_dir():
        return folders.status(path)
    if not path.is_file():
        raise DataError(f"{where} is not a regular file: copy the data to one")
    if status.st_size == 0:
        raise DataError(f"{where} is empty, so it was not written completely: save it again")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _similar(path: Path) -> str:
    try:
        return did_you_mean(path.name, os.listdir(path.parent))
    except (OSError, ValueError):
        return ""
