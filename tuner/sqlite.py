"""SQLite files: a lock while tables are created, and commits that do not wait for the disk."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError

from .errors import DiskError

_wal_files: set[Path] = set()


def database_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI, or None for an in-memory database or any other URI."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return None
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).resolve()


@contextmanager
def database_lock(uri: str) -> Iterator[None]:
    """Lock the folder of an SQLite file, so that one process at a time creates its tables.

    From then on every connection of this process to the file uses a write-ahead log, which stays
    enabled in the file, and commits without waiting for the disk: a power failure may lose the
    last commits, but does not corrupt the file. Does nothing for any other URI.
    """
    path = database_file(uri)
    if path is None:
        yield
        return
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise DiskError(
            f"cannot use {path.parent} for {path.name} ({error.strerror}): choose another folder"
        ) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _enable_wal(path)
        yield
    finally:
        os.close(folder)


def _enable_wal(path: Path) -> None:
    if not event.contains(Engine, "connect", _set_pragmas):
        event.listen(Engine, "connect", _set_pragmas)
    _wal_files.add(path)


def _set_pragmas(connection: object, record: object) -> None:
    del record
    if not isinstance(connection, sqlite3.Connection):
        return
    files = [Path(row[2]) for row in connection.execute("PRAGMA database_list") if row[2]]
    if any(path in _wal_files for path in files):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
