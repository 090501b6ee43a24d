"""A queue of messages that a background thread sends, so that the caller never waits."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from ..redaction import redact

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Queued(Generic[T]):
    message: T
    due: float


@final
class Outbox(Generic[T]):
    """Sends the newest message of every key, one at a time, until it is closed.

    `send` sends one message and raises if it fails. The message is then retried after 1, 2, 4, …
    up to `max_retry_delay` seconds, or dropped if `is_permanent` says that the error would recur.
    `problems` holds an error message for each dropped message.
    """

    def __init__(
        self,
        send: Callable[[T], None],
        *,
        is_permanent: Callable[[Exception], bool],
        max_retry_delay: float = 30.0,
    ) -> None:
        self.problems: list[str] = []
        self._send, self._is_permanent = send, is_permanent
        self._max_retry_delay = max_retry_delay
        self._queue: dict[str, _Queued[T]] = {}
        self._in_flight: str | None = None
        self._failures = 0
        self._closing = self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="tuner-outbox", daemon=True)
        self._thread.start()

    def put(self, key: str, message: T, *, delay: float = 0.0) -> None:
        """Queue a message, replacing an unsent one with the same key.

        It is sent in `delay` seconds, or earlier if the replaced message was due earlier.
        """
        with self._changed:
            due = time.monotonic() + delay
            if key in self._queue:
                due = min(due, self._queue[key].due)
            self._queue[key] = _Queued(message, due)
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._queue) + (self._in_flight is not None)

    def abandon(self) -> None:
        """Drop all queued messages and send no more."""
        with self._changed:
            self._queue.clear()
            self._stopped = True
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Send all queued messages now, for at most `timeout` seconds.

        Returns whether every message was sent.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(self._is_empty, timeout)
            self._stopped = True
            self._changed.notify_all()
            return self._is_empty() and not self.problems

    def _is_empty(self) -> bool:
        return not self._queue and self._in_flight is None

    def _run(self) -> None:
        while (taken := self._take_next()) is not None:
            key, message = taken
            try:
                self._send(message)
            except Exception as error:  # the thread must survive any error
                self._handle_failure(key, message, error)
            else:
                self._handle_success()

    def _take_next(self) -> tuple[str, T] | None:
        """Wait for a message that is due and take it, or return None once all work is done."""
        with self._changed:
            while not self._stopped:
                key = min(self._queue, key=lambda k: self._queue[k].due, default=None)
                if key is None:
                    if self._closing:
                        return None
                    self._changed.wait()
                    continue
                wait = self._queue[key].due - time.monotonic()
                if wait <= 0 or self._closing:
                    self._in_flight = key
                    return key, self._queue.pop(key).message
                self._changed.wait(wait)
            return None

    def _handle_failure(self, key: str, message: T, error: Exception) -> None:
        """Drop the message, or queue it again unless a newer one replaces it, and wait."""
        problem = redact(f"{key}: {type(error).__name__}: {error}")
        with self._changed:
            self._in_flight = None
            if self._is_permanent(error):
                self.problems.append(problem)
                _log.error("MLflow tracking failed for %s", problem)
                self._changed.notify_all()
                return
            if self._failures == 0:
                _log.warning("MLflow tracking failed and will be retried: %s", problem)
            delay = min(self._max_retry_delay, 2.0**self._failures)
            self._failures = min(self._failures + 1, 10)
            # behind all messages due by then, so that one that keeps failing does not block others
            self._queue.setdefault(key, _Queued(message, time.monotonic() + delay))
            was_closing = self._closing
            self._changed.wait_for(
                lambda: self._stopped or (self._closing and not was_closing), delay
            )

    def _handle_success(self) -> None:
        with self._changed:
            if self._failures:
                _log.warning("MLflow tracking works again")
            self._failures = 0
            self._in_flight = None
            self._changed.notify_all()
