"""Where files are: a folder on a disk, which is a pathlib.Path, or one in an object store."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from ..errors import DiskError
from ..redaction import redact
from ..small_files import left_as_found
from .object_store import StorePath
from .store_access import PROBE, PROBE_PATIENCE, SCHEMES, check_url, refusal

Place = Path | StorePath


def place(text: str | Path, *, flag: str = "--artifacts") -> Place:
    """Return the place at a path or URL, or raise UsageError that names the flag it came from."""
    if isinstance(text, Path):
        return text
    parts = urlsplit(text) if "://" in text else None
    if parts is None:
        return Path(text)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Path(unquote(parts.path))
    check_url(text, flag=flag)
    return StorePath(text)


def is_store(text: str) -> bool:
    """Return whether a text is the URL of a place in an object store."""
    return urlsplit(text).scheme in SCHEMES


def impatient(folder: Place, seconds: float) -> Place:
    """Return the same place, whose store is waited for no longer than some seconds per call."""
    return folder if isinstance(folder, Path) else StorePath(str(folder), patience=seconds)


def delete_folder(folder: Place) -> None:
    """Delete a folder with everything in it."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.delete(folder.files())


def local_copy(folder: Place) -> Path:
    """Return a folder on this machine with the files of a place.

    It is the folder itself if it is on a disk, and else a new copy.
    """
    if isinstance(folder, Path):
        return folder
    copy = scratch()
    for file in folder.files():
        target = copy / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / file).read_bytes())
    return copy


def scratch() -> Path:
    """Return a new folder on this machine that lives until this process ends."""
    return Path(tempfile.mkdtemp(dir=_scratch(os.getpid()).name))


def upload(files: Path, folder: Place) -> None:
    """Write all files below a folder of this machine to a place, unless that is the place."""
    if isinstance(folder, StorePath):
        for path in sorted(path for path in files.rglob("*") if path.is_file()):
            (folder / path.relative_to(files).as_posix()).write_bytes(path.read_bytes())


@cache
def _scratch(_: int) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="tuner-")


def probe(folder: Place) -> None:
    """Write, read and delete a small file, or raise DiskError or StoreError within 10 seconds."""
    content = uuid.uuid4().hex.encode()
    if isinstance(folder, StorePath):
        found = _probed_store(folder, content)
    else:
        found = _probed_disk(folder, content)
    if found != content:
        raise DiskError(
            f"{redact(str(folder))} does not return what was written to it: choose another place "
            "with --artifacts or TUNER_ARTIFACTS"
        )


def _probed_store(folder: StorePath, content: bytes) -> bytes:
    url, end = f"{folder}/{PROBE}{uuid.uuid4().hex}", time.monotonic() + PROBE_PATIENCE

    def file() -> StorePath:
        return StorePath(url, patience=end - time.monotonic())

    file().write_bytes(content)
    found = file().read_bytes()
    file().unlink()
    if file().exists():
        raise refusal(str(folder), "files in it cannot be deleted")
    return found


def _probed_disk(folder: Path, content: bytes) -> bytes:
    with left_as_found(folder), probe_file(folder) as file:
        try:
            file.write(content)
            file.flush()
            return Path(file.name).read_bytes()
        except OSError as error:
            raise _unwritable(folder, error) from None


@contextmanager
def probe_file(folder: Path) -> Iterator[IO[bytes]]:
    """Make an empty file for the block, and the folder if need be, or raise DiskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=folder, prefix=PROBE)  # noqa: SIM115
    except OSError as error:
        raise _unwritable(folder, error) from None
    with file:
        yield file


def _unwritable(folder: Path, error: OSError) -> DiskError:
    return DiskError(
        f"the folder {folder} cannot be written to ({error.strerror}): "
        "choose another with --artifacts or TUNER_ARTIFACTS"
    )
