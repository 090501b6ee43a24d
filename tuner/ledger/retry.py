"""Retries for calls to the ledger's database while its server is unreachable."""

from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import RetryError as GaveUpError
from tenacity import Retrying, retry_if_exception, stop_before_delay, wait_exponential

from ..errors import ServiceError
from ..redaction import redact

T = TypeVar("T")
SECONDS = 60.0


def retried(call: Callable[[bool], T], *, seconds: float = SECONDS) -> T:
    """Return what `call` returns, retrying for up to `seconds` while the server is unreachable.

    `call` receives True on a retry, because the previous attempt may have reached the database
    although its response was lost. A locked SQLite file is not retried, because SQLite itself
    waits for the lock. Raises ServiceError once the time is up.
    """
    attempts = Retrying(
        retry=retry_if_exception(lambda error: _outage(error) is not None),
        wait=wait_exponential(multiplier=0.25, max=4.0),
        stop=stop_before_delay(seconds),
    )
    try:
        for attempt in attempts:
            with attempt:
                return call(attempt.retry_state.attempt_number > 1)
    except GaveUpError as error:
        reason = _outage(error.last_attempt.exception())
        raise ServiceError(
            f"the ledger's database has been unreachable for {seconds:.0f} s ({reason}): "
            "check the server that TUNER_STORAGE names, then resume the search"
        ) from None
    raise AssertionError("an attempt either returns or raises")


def _outage(error: BaseException | None) -> str | None:
    """Return why the database server is unreachable, None for every other kind of error."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, OperationalError | InterfaceError):
        return None
    if type(cause.orig).__module__.startswith("sqlite3"):
        return None
    return redact(str(cause.orig).strip().partition("\n")[0])
