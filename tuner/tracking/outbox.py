"""Messages that a background thread delivers, so that whoever writes them never waits."""

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
class _Letter(Generic[T]):
    message: T
    due: float


@final
class Outbox(Generic[T]):
    """Delivers the newest message of every key, one after the other, until it is closed.

    `send` delivers one message and raises when it cannot. Unless `is_lasting` says that the error
    would only come again, the message is tried again after 1, 2, 4, … up to `longest_pause`
    seconds. `problems` holds one sentence for each message that was given up.
    """

    def __init__(
        self,
        send: Callable[[T], None],
        *,
        is_lasting: Callable[[Exception], bool],
        longest_pause: float = 30.0,
    ) -> None:
        self.problems: list[str] = []
        self._send, self._is_lasting, self._longest_pause = send, is_lasting, longest_pause
        self._letters: dict[str, _Letter[T]] = {}
        self._under_way: str | None = None
        self._failures = 0
        self._closing = self._stopped = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._deliver, name="tuner-outbox", daemon=True)
        self._thread.start()

    def put(self, key: str, message: T, *, delay: float = 0.0) -> None:
        """Leave a message, in place of an undelivered one of the same key.

        It goes out within `delay` seconds, or when the message that it replaces was to go out.
        """
        with self._change:
            due = time.monotonic() + delay
            before = self._letters.get(key)
            self._letters[key] = _Letter(message, due if before is None else min(due, before.due))
            self._change.notify_all()

    def __len__(self) -> int:
        with self._change:
            return len(self._letters) + (self._under_way is not None)

    def close(self, timeout: float) -> bool:
        """Deliver what is left at once, for at most `timeout` seconds; say whether all arrived."""
        with self._change:
            self._closing = True
            self._change.notify_all()
            self._change.wait_for(self._is_empty, timeout)
            self._stopped = True
            self._change.notify_all()
            return self._is_empty() and not self.problems

    def _is_empty(self) -> bool:
        return not self._letters and self._under_way is None

    def _deliver(self) -> None:
        while (taken := self._next()) is not None:
            key, letter = taken
            try:
                self._send(letter.message)
            except Exception as error:  # whatever it is, it must not end the thread
                self._keep(key, letter, error)
            else:
                self._succeed()

    def _next(self) -> tuple[str, _Letter[T]] | None:
        """Wait for a letter that is due and take it; None when there is nothing more to do."""
        with self._change:
            while not self._stopped:
                key = min(self._letters, key=lambda k: self._letters[k].due, default=None)
                if key is None:
                    if self._closing:
                        return None
                    self._change.wait()
                    continue
                wait = self._letters[key].due - time.monotonic()
                if wait <= 0 or self._closing:
                    self._under_way = key
                    return key, self._letters.pop(key)
                self._change.wait(wait)
            return None

    def _keep(self, key: str, letter: _Letter[T], error: Exception) -> None:
        """Put a letter back unless a newer one has come, and pause; or give it up."""
        sentence = redact(f"{key}: {type(error).__name__}: {error}")
        with self._change:
            self._under_way = None
            if self._is_lasting(error):
                self.problems.append(sentence)
                _log.error("tracking gives up on %s", sentence)
                self._change.notify_all()
                return
            if self._failures == 0:
                _log.warning("tracking will be tried again: %s", sentence)
            pause = min(self._longest_pause, 2.0**self._failures)
            self._failures = min(self._failures + 1, 10)
            # behind all that is due by then: what fails alone must not hold up the rest
            self._letters.setdefault(key, _Letter(letter.message, time.monotonic() + pause))
            was_closing = self._closing
            self._change.wait_for(
                lambda: self._stopped or (self._closing and not was_closing), pause
            )

    def _succeed(self) -> None:
        with self._change:
            if self._failures:
                _log.warning("tracking is back")
            self._failures = 0
            self._under_way = None
            self._change.notify_all()
