"""Calls that an interrupt must not cut in half."""

import threading
from collections.abc import Callable


def in_thread(call: Callable[[], object]) -> None:
    """Run `call` in a thread of its own and wait for it, also past a first interrupt.

    Ray replaces the handler of SIGTERM where it starts in the main thread, and cannot be stopped
    while it starts. The interrupt is raised once the call has ended; a second one at once. What
    `call` raises is raised here.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # raised again in the calling thread
            failures.append(error)

    thread = threading.Thread(target=run, name="tuner-start", daemon=True)
    interrupt: KeyboardInterrupt | None = None
    thread.start()
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as error:
            if interrupt is not None:
                raise
            interrupt = error
    if interrupt is not None:
        raise interrupt
    if failures:
        raise failures[0]
