"""Who drives a search: one process at a time, by a lease among the attributes of its study.

The lease is an owner and an expiry, renewed in the background. It changes hands by
compare-and-swap in the database, so of two drivers that reach for it at once one gets it, and one
that was asleep past its expiry finds out before it writes.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, final

import psutil
from sqlalchemy import column, insert, select, table, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ..errors import LeaseError

SECONDS = 60.0
_RENEW_SECONDS = 10.0
_KEY = "lease"
_ATTRIBUTES = table(
    "study_user_attributes", column("study_id"), column("key"), column("value_json")
)


@final
class Lease:
    """The right to write to one search; `clock` tells the time, in seconds since 1970."""

    def __init__(
        self, engine: Engine, study_id: int, name: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._study_id, self._name, self._clock = engine, study_id, name, clock
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._held: str | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @property
    def is_held(self) -> bool:
        """Whether this process has taken the lease and not given it back."""
        return self._held is not None

    def acquire(self) -> None:
        """Take the lease, or raise naming who holds it; renew it in the background."""
        if self.is_held:
            return
        text = self._read()
        before = json.loads(text)
        now = self._clock()
        if before is not None and before["expires"] > now and not _is_gone(before):
            raise self._refusal(before)
        self._since = now
        if not self._swap(text):
            raise self._refusal(json.loads(self._read()) or {"owner": "another driver"})
        self._thread.start()

    def check(self) -> None:
        """Raise when another driver has taken over; ask the database only past the expiry."""
        if self._held is None or self._clock() < json.loads(self._held)["expires"]:
            return
        if not self._swap(self._held):
            raise LeaseError(
                f"another driver took over search {self._name!r} while this one was not "
                "answering: leave it to that one"
            )

    def release(self) -> None:
        """Stop renewing and let the next driver in at once."""
        if self._held is None:
            return
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(SQLAlchemyError):  # it runs out by itself, then
            self._put(self._held, "null")
        self._held = None

    def _renew(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS):
            try:
                if self._held is None or not self._swap(self._held):
                    return  # the next write past the expiry finds out and raises
            except SQLAlchemyError:
                continue  # the database is away: the lease lasts a while yet

    def _swap(self, before: str) -> bool:
        """Write a new lease in place of `before`; return whether that was still there."""
        with self._lock:
            if self._held is not None:
                before = self._held  # the other thread may have renewed it just now
            expires = self._clock() + SECONDS
            after = json.dumps(
                {
                    "owner": self.owner,
                    "processes": _processes(),
                    "since": self._since,
                    "expires": expires,
                }
            )
            if not self._put(before, after):
                return False
            self._held = after
            return True

    def _put(self, before: str, after: str) -> bool:
        mine = (_ATTRIBUTES.c.study_id == self._study_id) & (_ATTRIBUTES.c.key == _KEY)
        change = update(_ATTRIBUTES).where(mine, _ATTRIBUTES.c.value_json == before)
        with self._engine.begin() as connection:
            return connection.execute(change.values(value_json=after)).rowcount == 1

    def _read(self) -> str:
        """Return what stands in the database, an empty lease where nothing did."""
        mine = (_ATTRIBUTES.c.study_id == self._study_id) & (_ATTRIBUTES.c.key == _KEY)
        with self._engine.connect() as connection:
            text = connection.execute(select(_ATTRIBUTES.c.value_json).where(mine)).scalar()
        if text is not None:
            return str(text)
        row = {"study_id": self._study_id, "key": _KEY, "value_json": "null"}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_ATTRIBUTES).values(row))
        except IntegrityError:
            return self._read()  # another driver was a moment earlier
        return "null"

    def _refusal(self, held: Mapping[str, Any]) -> LeaseError:
        now = self._clock()
        age, left = now - held.get("since", now), held.get("expires", now) - now
        return LeaseError(
            f"search {self._name!r} is driven by {held['owner']} since {age:.0f} s: "
            f"wait for it, or stop it and try again in {max(left, 0.0):.0f} s"
        )


def _processes() -> str:
    """Return what tells one world of process numbers from another: containers have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _is_gone(held: Mapping[str, Any]) -> bool:
    """Return whether a driver of this machine has ended; of another machine only time can tell."""
    host, number, _ = held["owner"].rsplit(":", 2)
    if host != socket.gethostname() or held.get("processes", "") != _processes():
        return False
    try:
        process = psutil.Process(int(number))
        # a number is given out again, and a process that nobody waited for keeps its own
        reused = process.create_time() > held["since"] + 1.0
        return bool(reused or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
