"""The lease that lets one process at a time drive a search, stored as an attribute of its study.

A lease is an owner and an expiry, which a background thread renews. It is taken by
compare-and-swap in the database: of two drivers that try at the same time, only one succeeds, and
a driver that was suspended past the expiry notices before it writes.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, final

from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from ..errors import LeaseError
from ..processes import has_exited, new_owner, pid_namespace
from .attributes import ATTRIBUTES, insert_attribute

LEASE_SECONDS = 60.0
_RENEW_SECONDS = 10.0
_KEY = "lease"


@final
class Lease:
    """The right to write to one search; `clock` returns the time in seconds since 1970."""

    def __init__(
        self, engine: Engine, study_id: int, name: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._study_id, self._name, self._clock = engine, study_id, name, clock
        self.owner = new_owner()
        self._held: str | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lease."""
        return self._held is not None

    @staticmethod
    def driver(stored: Mapping[str, Any] | None, now: float) -> str | None:
        """Return the owner of a stored lease, None if it may be taken: expired, or its owner gone.

        Whether a process of another machine has exited shows only when its lease expires.
        """
        if stored is None or stored["expires"] <= now or has_exited(stored):
            return None
        return str(stored["owner"])

    def acquire(self) -> None:
        """Take the lease and renew it in the background, or raise LeaseError naming its owner."""
        if self.is_held:
            return
        text = self._read()
        current = json.loads(text)
        now = self._clock()
        if self.driver(current, now) is not None:
            raise self._held_error(current)
        self._since = now
        if not self._replace(text):
            raise self._held_error(json.loads(self._read()) or {"owner": "another driver"})
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseError if another driver took over; only an expired lease is looked up."""
        if self._held is None or self._clock() < json.loads(self._held)["expires"]:
            return
        if not self._replace(self._held):
            raise LeaseError(
                f"another driver took over search {self._name!r} because this driver's lease "
                "expired: let the other driver finish it"
            )

    def release(self) -> None:
        """Stop renewing the lease and free it for the next driver."""
        if self._held is None:
            return
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(SQLAlchemyError):  # if this fails, the lease expires by itself
            self._compare_and_swap(self._held, "null")
        self._held = None

    def _renew(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS):
            try:
                if self._held is None or not self._replace(self._held):
                    return  # the next write after the expiry raises
            except SQLAlchemyError:
                continue  # the database is unreachable: try again

    def _replace(self, before: str) -> bool:
        """Replace the lease `before` with a new one; return whether it was still stored."""
        with self._lock:
            if self._held is not None:
                before = self._held  # the other thread may just have renewed it
            expires = self._clock() + LEASE_SECONDS
            after = json.dumps(
                {
                    "owner": self.owner,
                    "processes": pid_namespace(),
                    "since": self._since,
                    "expires": expires,
                }
            )
            if not self._compare_and_swap(before, after):
                return False
            self._held = after
            return True

    def _compare_and_swap(self, before: str, after: str) -> bool:
        own = (ATTRIBUTES.c.study_id == self._study_id) & (ATTRIBUTES.c.key == _KEY)
        statement = update(ATTRIBUTES).where(own, ATTRIBUTES.c.value_json == before)
        with self._engine.begin() as connection:
            return connection.execute(statement.values(value_json=after)).rowcount == 1

    def _read(self) -> str:
        """Return the stored lease as JSON, after storing an empty one if there is none."""
        own = (ATTRIBUTES.c.study_id == self._study_id) & (ATTRIBUTES.c.key == _KEY)
        with self._engine.connect() as connection:
            text = connection.execute(select(ATTRIBUTES.c.value_json).where(own)).scalar()
        if text is not None:
            return str(text)
        if insert_attribute(self._engine, self._study_id, _KEY, None):
            return "null"
        return self._read()  # another driver was faster

    def _held_error(self, lease: Mapping[str, Any]) -> LeaseError:
        now = self._clock()
        age, left = now - lease.get("since", now), lease.get("expires", now) - now
        return LeaseError(
            f"search {self._name!r} has been driven by {lease['owner']} for {age:.0f} s: "
            f"wait until it ends, or stop it and try again in {max(left, 0.0):.0f} s"
        )
