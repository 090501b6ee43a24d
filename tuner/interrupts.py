"""SIGINT and SIGTERM, which interrupt a command from its first import to its last line.

Nothing here imports more than the standard library, so that the handlers are set before anything
that takes time.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def install() -> None:
    """Let both signals raise KeyboardInterrupt.

    One that is ignored stays so, as Ctrl-C is in the background jobs of a shell.
    """
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _interrupt)


def uninstall() -> None:
    """Let both signals end the process at once and without a traceback."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_DFL)


def reinstall() -> None:
    """Set the handlers again that Python knows, where a library in C++ has set its own."""
    if threading.current_thread() is threading.main_thread():
        for signum in SIGNALS:
            handler = signal.getsignal(signum)
            if handler is not None:  # None: not set by Python
                signal.signal(signum, handler)


def received() -> int:
    """Return the signal that raised the last interrupt, SIGINT if it was none of ours."""
    return _last[0]


_last: list[int] = [signal.SIGINT]


def _interrupt(signum: int, _: object) -> None:
    _disarm()
    _last[0] = signum
    raise KeyboardInterrupt


def _disarm() -> None:
    """Cancel an alarm that a library in C++ has set.

    While Ray starts, its own handler may be the first to see a signal. It passes the signal on to
    ours, and lets an alarm abort the process three seconds later.
    """
    if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:  # as far as Python knows
        signal.alarm(0)


@final
class InterruptHandler:
    """Lets the first signal close a search while trials run, so that they can save.

    The second signal, or the first one while no trials run, raises KeyboardInterrupt. `signum` is
    the first signal received.
    """

    def __init__(self) -> None:
        self.signum: int = signal.SIGINT
        self._received = 0
        self._close: Callable[[str], None] | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals in the block; does nothing in other threads, which receive no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {signum: signal.signal(signum, self._handle) for signum in SIGNALS}
        try:
            yield
        finally:
            for signum, handler in previous.items():
                if handler is not None:  # None: not set by Python, so it cannot be restored
                    signal.signal(signum, handler)

    @contextlib.contextmanager
    def closing(self, close: Callable[[str], None]) -> Iterator[None]:
        """Let the first signal in the block call `close` with the reason `interrupt`."""
        self._close = close
        try:
            yield
        finally:
            self._close = None

    def _handle(self, signum: int, _: object) -> None:
        _disarm()
        self._received += 1
        if self._received == 1:
            self.signum = signum
            if self._close is not None:
                self._close("interrupt")
                return
        _interrupt(signum, None)
