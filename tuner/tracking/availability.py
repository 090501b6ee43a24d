"""Services that may be down: asked with little patience, and named in one sentence if silent."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from ..environment import environment, quiet_logger
from ..errors import ServiceError, TunerError
from ..redaction import redact

T = TypeVar("T")
ANSWER = 9.0  # seconds within which a service must show that it is there


def answer_within(ask: Callable[[], T], *, uri: str, seconds: float = ANSWER) -> T:
    """Return what `ask` returns, or raise after some seconds: it runs in a thread of its own."""
    outcome: list[tuple[T, None] | tuple[None, Exception]] = []

    def run() -> None:
        try:
            outcome.append((ask(), None))
        except Exception as error:  # whatever it is, the caller gets it as a sentence
            outcome.append((None, error))

    with short_timeouts(), quiet_logger("mlflow.store.db.utils"):
        thread = threading.Thread(target=run, name="tuner-service", daemon=True)
        thread.start()
        thread.join(seconds)
    match outcome:
        case []:
            raise tracking_error(uri, TimeoutError(f"no answer within {seconds:g} s"))
        case [(_, TunerError() as error)]:
            raise error
        case [(_, Exception() as error)]:
            raise tracking_error(uri, error) from None
    return outcome[0][0]  # type: ignore[return-value]  # without an error, it is the answer


def tracking_error(uri: str, error: Exception) -> ServiceError:
    """Return the sentence for a tracking server or database that cannot be used."""
    reason = redact(str(error).strip().partition("\n")[0])[:300]
    return ServiceError(
        f"MLflow at {redact(uri)} cannot be used ({reason}): set MLFLOW_TRACKING_URI to one that "
        "answers, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if it asks for them"
    )


def short_timeouts() -> AbstractContextManager[None]:
    """Let MLflow's calls over HTTP fail within seconds."""
    return environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="4")
