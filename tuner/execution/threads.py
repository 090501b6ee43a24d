"""A thread in which Ray starts, so that signals reach the search and not Ray."""

import threading
from collections.abc import Callable
from typing import final

from ..interrupts import reinstall

_REINSTALL_SECONDS = 0.05


@final
class StartThread:
    """Runs one call, and lives on until the process ends.

    Ray replaces the handler of SIGTERM where it starts in the main thread, and cannot be stopped
    while it starts. The thread must outlive Ray, since the kernel kills Ray's processes when the
    thread that started them ends, and those that they would have ended stay behind.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._failure: BaseException | None = None
        self._called = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tuner-start", daemon=True)

    def start(self) -> None:
        """Wait for the call, also past a first interrupt, which is raised afterwards.

        A second interrupt is raised at once, and what the call raises is raised here.
        """
        try:
            self._thread.start()
            self._wait()
        except KeyboardInterrupt:
            if self._thread.is_alive():
                self._wait()
            raise
        if self._failure is not None:
            raise self._failure

    def _wait(self) -> None:
        # Ray's C++ code sets a handler of SIGTERM that aborts the process
        while not self._called.wait(_REINSTALL_SECONDS):
            reinstall()
        reinstall()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # raised again in the calling thread
            self._failure = error
        finally:
            self._called.set()
        threading.Event().wait()
