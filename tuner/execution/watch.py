"""Watches over a Ray cluster while trials run: is its head there, can it run a trial?"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self, final

from ..errors import ResourceError, ServiceError

_PROBE_TIMEOUT = 3.0
_PROBE_PAUSE = 3.0
_PROBES = 8  # failed in a row: 24 s if connections are refused, 48 s if nothing answers
_LOOK_PAUSE = 5.0
_PATIENCE = 60.0  # for machines to come back
_SHOW_CURSOR = b"\x1b[?25h"


@final
class HeadWatch:
    """Ends this process with one sentence when the head of the cluster is lost.

    Calls into Ray then wait in C++ code, which no exception or signal leaves, until Ray ends the
    process itself after 60 s, without a word on how to go on. The ledger needs no farewell.
    """

    def __init__(self, address: str) -> None:
        self.search = ""
        self._address = address
        self._stopped = threading.Event()

    def start(self) -> Self:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="head-watch", daemon=True).start()
        return self

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Stop after a block that leaves the cluster and may take the head with it.

        If the head is lost before, the block may wait for it, and is watched.
        """
        if is_listening(self._address):
            self._stopped.set()
        yield
        self._stopped.set()

    def _watch(self) -> None:
        failed = 0
        while not self._stopped.wait(_PROBE_PAUSE):
            failed = 0 if is_listening(self._address) else failed + 1
            if failed >= _PROBES and not self._stopped.is_set():
                end_process(lost_head(self._address, self.search))


def is_listening(address: str) -> bool:
    """Return whether a connection to host:port is accepted."""
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_TIMEOUT).close()
        return True
    return False


def lost_head(address: str, search: str) -> ServiceError:
    """Return the error for a cluster whose head is lost."""
    command = f"tuner resume {search}" if search else "tuner resume NAME"
    return ServiceError(
        f"the head of the Ray cluster at {address} is lost: start a cluster, then continue with "
        f"`{command}`"
    )


def end_process(error: ServiceError) -> None:
    """Write an error as the command line does and end this process, whatever it waits for."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)
        os.write(2, f"\nerror: {error}\n".encode())
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(error.exit_code)


@final
class CapacityWatch:
    """Raises ResourceError once no machine has been able to run a trial for a minute.

    `total` returns for each machine what it has, `needs` is what a trial needs.
    """

    def __init__(
        self,
        total: Callable[[], list[Mapping[str, float]]],
        needs: Mapping[str, float],
        on_message: Callable[[str], Any],
        *,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._needs, self._on_message = total, needs, on_message
        self._patience, self._clock = patience, clock
        self._looked, self._missing_since = clock(), float("inf")

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle as an empty object: Tune pickles what it is given and never reads it back."""
        return object, ()

    def check(self, search: str) -> None:
        """Look at the machines every few seconds; `search` is named in the error."""
        now = self._clock()
        if now - self._looked < _LOOK_PAUSE:
            return
        self._looked = now
        if any(self._suffices(machine) for machine in self._total()):
            if self._missing_since < now:
                self._on_message("the cluster can run trials again")
            self._missing_since = float("inf")
        elif self._missing_since > now:
            self._missing_since = now
            self._on_message(f"{self._shortage()}: waiting {self._patience:g} s for one")
        elif now - self._missing_since >= self._patience:
            raise ResourceError(
                f"{self._shortage()}: add a machine, check `ray status`, then continue with "
                f"`tuner resume {search}`"
            )

    def _suffices(self, machine: Mapping[str, float]) -> bool:
        return all(machine.get(kind, 0.0) >= need for kind, need in self._needs.items() if need)

    def _shortage(self) -> str:
        needs = " and ".join(f"{need:g} {kind}" for kind, need in self._needs.items() if need)
        return f"no machine of the Ray cluster that is left can run a trial, which needs {needs}"
