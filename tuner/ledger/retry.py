"""Calls to the ledger's database, which may be away for a moment: repeated until it is back."""

import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ..errors import ServiceError
from ..redaction import redact

T = TypeVar("T")
SECONDS = 60.0
_LONGEST_PAUSE = 4.0


def retried(ask: Callable[[bool], T], *, seconds: float = SECONDS) -> T:
    """Return what `ask` returns; while the database server is away, ask again, for a minute.

    `ask` is told whether it is asked again: the time before may have reached the database, and
    only the answer been lost. A file that another process holds has been waited for already.
    """
    deadline, pause, again = time.monotonic() + seconds, 0.25, False
    while True:
        try:
            return ask(again)
        except (StorageInternalError, DBAPIError) as error:
            reason = _absence(error)
            if reason is None:
                raise
            if time.monotonic() + pause > deadline:
                raise ServiceError(
                    f"the ledger's database has been away for {seconds:.0f} s ({reason}): "
                    "check the server that TUNER_STORAGE names, then resume the search"
                ) from None
        time.sleep(pause)
        pause, again = min(2 * pause, _LONGEST_PAUSE), True


def _absence(error: Exception) -> str | None:
    """Return why a database server could not be reached, None where that is not what happened."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, OperationalError | InterfaceError):
        return None
    if type(cause.orig).__module__.startswith("sqlite3"):
        return None
    return redact(str(cause.orig).strip().partition("\n")[0])
