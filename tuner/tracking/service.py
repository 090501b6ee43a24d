"""Services that may be down: asked with little patience, and named in one sentence if silent."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from ..errors import ServiceError, TunerError
from ..redaction import redact

T = TypeVar("T")
ANSWER = 9.0  # seconds within which a service must show that it is there


def answer_of(ask: Callable[[], T], *, uri: str, seconds: float = ANSWER) -> T:
    """Return what `ask` returns, or raise after some seconds: it runs in a thread of its own."""
    outcome: list[tuple[T, None] | tuple[None, Exception]] = []

    def run() -> None:
        try:
            outcome.append((ask(), None))
        except Exception as error:  # whatever it is, the caller gets it as a sentence
            outcome.append((None, error))

    with impatience(), quiet("mlflow.store.db.utils"):
        thread = threading.Thread(target=run, name="tuner-service", daemon=True)
        thread.start()
        thread.join(seconds)
    match outcome:
        case []:
            raise no_service(uri, TimeoutError(f"no answer within {seconds:g} s"))
        case [(_, TunerError() as error)]:
            raise error
        case [(_, Exception() as error)]:
            raise no_service(uri, error) from None
    return outcome[0][0]  # type: ignore[return-value]  # without an error, it is the answer


def no_service(uri: str, error: Exception) -> ServiceError:
    """Return the sentence for a tracking server or database that cannot be used."""
    reason = redact(str(error).strip().partition("\n")[0])[:300]
    return ServiceError(
        f"MLflow at {redact(uri)} cannot be used ({reason}): set MLFLOW_TRACKING_URI to one that "
        "answers, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if it asks for them"
    )


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables of this process for a while; what was set before comes back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def impatience() -> AbstractContextManager[None]:
    """Let MLflow's calls over HTTP fail within seconds."""
    return environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="4")


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep a logger of a library to its warnings."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
