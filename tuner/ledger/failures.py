"""What a failed call to the ledger's database means to the user."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from ..errors import DiskError, ServiceError, TunerError
from ..redaction import redact

_DISK_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)


@contextlib.contextmanager
def told(ledger: str, *, search: str | None = None) -> Iterator[None]:
    """Turn errors of the database into one sentence about `ledger`, and how to continue."""
    try:
        yield
    except Exception as error:
        if not _is_of_database(error):
            raise
        raise _meaning(ledger, search, root_cause(error)) from None


def _is_of_database(error: Exception) -> bool:
    from optuna.exceptions import StorageInternalError  # takes half a second, so only when needed

    return isinstance(error, StorageInternalError | SQLAlchemyError)


def _meaning(ledger: str, search: str | None, origin: BaseException) -> TunerError:
    reason = reason_of(origin)
    then = "try again" if search is None else f"continue with `tuner resume {search}`"
    # an extended code has further bits above the code itself
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    if code in _DISK_CODES:
        return DiskError(
            f"cannot write to {ledger} ({reason}): free some space, or make the folder of its "
            f"file writable, then {then}"
        )
    if code == sqlite3.SQLITE_BUSY:
        return ServiceError(
            f"cannot use {ledger}, because another process has locked its file for a minute: "
            f"end that process, or set TUNER_STORAGE to another file, then {then}"
        )
    return ServiceError(f"cannot reach {ledger} ({reason}): check the database, then {then}")


def reason_of(error: BaseException) -> str:
    """Return the first line of what an error says, without passwords, or else its type."""
    text = str(error).strip()
    return redact(text.splitlines()[0]) if text else type(error).__name__


def root_cause(error: BaseException) -> BaseException:
    """Return the database driver's own error behind one of Optuna or SQLAlchemy."""
    cause = getattr(error, "orig", None) or error.__cause__
    return error if cause is None else root_cause(cause)
