"""A table of bad input: what is typed, what must be said, and that nothing is written."""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CANARY = "c4n4ryK33pOut"
PLANTED = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "RAY_AUTH_TOKEN",
    "DATABRICKS_TOKEN",
)
"""Variables that hold secrets, and what is planted in all of them."""

LONGEST = 600  # characters of a message, paths of temporary folders included
_INTERNAL = 70
Maker = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, its exit code, and what its message must contain: the value, the remedy.

    `make` fills the current folder before, `variables` are set in the environment.
    """

    name: str
    line: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    make: Maker | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def bad(
    name: str,
    line: str | tuple[object, ...],
    code: int,
    *says: str,
    make: Maker | None = None,
    **variables: str,
) -> Case:
    """Return a case; a line without quotes may be given as one text."""
    words = tuple(line.split()) if isinstance(line, str) else tuple(map(str, line))
    return Case(name=name, line=words, code=code, says=says, make=make, variables=variables)


def table(*cases: Case) -> pytest.MarkDecorator:
    """Return the mark that runs a test for each case, by its name."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases have one name"
    return pytest.mark.parametrize("case", cases, ids=names)


def tree(folder: Path) -> dict[str, object]:
    """Return what is in a folder: kind, mode, time and content of each entry, links unfollowed.

    Of an SQLite database it is the rows, since reading alone moves pages between its files.
    """
    found: dict[str, object] = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if name.endswith((b"-wal", b"-shm")):
                continue
            status = os.lstat(path)
            content: object = status.st_size
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode) and status.st_size < 1 << 24:
                content = _content(Path(os.fsdecode(path)))
            is_database = isinstance(content, Rows)
            changed = 0 if stat.S_ISDIR(status.st_mode) or is_database else status.st_mtime_ns
            found[os.fsdecode(path)] = (status.st_mode, changed, content)
    return found


class Rows(str):
    """A digest of what a database holds."""


def rows(database: Path) -> Rows:
    """Return all that an SQLite database holds, whatever its log and pages look like."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return Rows(hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest())


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except PermissionError:
        return "closed"
    if raw.startswith(b"SQLite format 3\0"):
        return rows(path)
    return hashlib.sha256(raw).hexdigest()


def require_sentence(message: str, says: tuple[str, ...]) -> None:
    """Raise unless a message is a sentence with a value and a remedy, and is not too long."""
    assert message.isprintable()
    assert "Traceback" not in message
    assert "report this as a bug" not in message
    assert 10 < len(message) <= LONGEST, len(message)
    parts = (": ", "; ", " must ")
    assert any(part in message for part in parts), "a remedy comes after what is wrong"
    for text in says:
        assert text in message, f"{text!r} is not in {message!r}"
