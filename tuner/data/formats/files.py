"""Reads data from a file or a folder, after checking that they fit in memory."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from ...errors import DataError, UsageError, did_you_mean
from ..checks import shown
from ..content import Content
from ..preparation import Preparation
from . import anndata, arrays, arrow, csv_tables, folders

_Reader = Callable[[Path, str | None, str, Preparation], Content]
_READERS: dict[str, _Reader] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".csv": csv_tables.read_csv,
    ".parquet": arrow.read_parquet,
    ".arrow": arrow.read_ipc,
    ".feather": arrow.read_ipc,
    ".h5ad": anndata.read_h5ad,
}
EXTENSIONS = tuple(_READERS)
_SPREADSHEETS = (".xlsx", ".xls", ".ods")


def read(path: Path, labels: str | None, preparation: Preparation | None = None) -> Content:
    """Return the content of a file with a known extension or of a folder of images.

    Only the parts of the preparation that affect reading are used. Raises DataError.
    """
    preparation = Preparation() if preparation is None else preparation
    where = shown(path)
    require_applicable(path, preparation)
    try:
        before = _status(path)
        content = _reader(path)(path, labels, where, preparation)
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


def require_applicable(path: Path, preparation: Preparation) -> None:
    """Raise UsageError for what is not meant for this format."""
    ending = path.suffix.lower()
    for flag, given, meant in (
        ("--layer", preparation.layer is not None, ".h5ad"),
        ("--header and --no-header", preparation.header is not None, ".csv"),
    ):
        if given and ending != meant:
            raise UsageError(f"{flag}: {shown(path)} is no {meant} file: leave it out")


def _reader(path: Path) -> _Reader:
    if path.is_dir():
        return folders.read_images
    if path.suffix.lower() in _SPREADSHEETS:
        target = path.with_suffix(".csv")
        script = (
            f"import pandas; pandas.read_excel({str(path)!r}).to_csv({str(target)!r}, index=False)"
        )
        raise DataError(
            f"{shown(path)} is a spreadsheet, which is not read, as its cells may be formulas: "
            f"convert it, for example with `python -c {shlex.quote(script)}` (with openpyxl "
            "installed)"
        )
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
