"""Timeouts for MLflow, and one error message for a server that cannot be used.

Whoever sets MLflow's own variables knows their server: they are never overridden.
"""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from ..environment import environment, quiet_logger
from ..errors import DiskError, ServiceError, TunerError
from ..redaction import redact

T = TypeVar("T")
_TIMEOUT_SECONDS = 9.0
_FULL = ("disk is full", os.strerror(errno.ENOSPC))  # MLflow passes on the text alone
_TIMEOUT, _RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def timeout_seconds() -> float:
    """Return how long a server may take to answer; the user's own timeout can only extend it."""
    try:
        own = float(os.environ.get(_TIMEOUT, ""))
    except ValueError:
        return _TIMEOUT_SECONDS
    return max(_TIMEOUT_SECONDS, own + 1.0)


def call_with_timeout(call: Callable[[], T], *, uri: str, seconds: float) -> T:
    """Return the result of `call`, which runs in a daemon thread.

    Raises ServiceError after `seconds` without a result, or if the call fails. A TunerError is
    raised unchanged.
    """
    outcome: list[tuple[T, None] | tuple[None, Exception]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except Exception as error:  # raised again in the calling thread
            outcome.append((None, error))

    with short_timeouts(), quiet_logger("mlflow.store.db.utils"):
        thread = threading.Thread(target=run, name="tuner-service", daemon=True)
        thread.start()
        thread.join(seconds)
    match outcome:
        case []:
            raise tracking_error(uri, TimeoutError(f"no response within {seconds:g} s"))
        case [(_, TunerError() as error)]:
            raise error
        case [(_, Exception() as error)]:
            raise tracking_error(uri, error) from None
    return outcome[0][0]  # type: ignore[return-value]  # a result, as there is no error


def tracking_error(uri: str, error: Exception) -> TunerError:
    """Return the error for a tracking server or database that cannot be used."""
    text = str(error).strip()
    reason = redact(text.partition("\n")[0])[:300]
    if any(words in text for words in _FULL):
        return DiskError(
            f"cannot write to MLflow at {redact(uri)} ({reason}): free some space, or set "
            "MLFLOW_TRACKING_URI to a place that has some"
        )
    return ServiceError(
        f"cannot use MLflow at {redact(uri)} ({reason}): set MLFLOW_TRACKING_URI to a reachable "
        "server or database, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if it "
        "requires a login"
    )


def short_timeouts() -> AbstractContextManager[None]:
    """Make MLflow's HTTP requests fail within seconds."""
    return _timeouts("4")


def long_timeouts() -> AbstractContextManager[None]:
    """Let a server that has answered once take its time."""
    return _timeouts("30")


def _timeouts(seconds: str) -> AbstractContextManager[None]:
    defaults = {_RETRIES: "1", _TIMEOUT: seconds}
    return environment(**{k: v for k, v in defaults.items() if not os.environ.get(k)})
