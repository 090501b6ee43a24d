"""SIGINT and SIGTERM during a search."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .controller import SearchController

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class InterruptHandler:
    """Closes a search at the first signal while trials run, so that they can save.

    The second signal, or the first one while no trials run, raises KeyboardInterrupt. `signum` is
    the first signal received.
    """

    def __init__(self) -> None:
        self.signum: int = signal.SIGINT
        self._received = 0
        self._controller: SearchController | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals in the block; does nothing in other threads, which receive no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {signum: signal.getsignal(signum) for signum in _SIGNALS}
        self.install()
        try:
            yield
        finally:
            for signum, handler in previous.items():
                if handler is not None:  # None: not set by Python, so it cannot be restored
                    signal.signal(signum, handler)

    def install(self) -> None:
        """Set the handlers; call it again once Ray has started, which replaces them."""
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                signal.signal(signum, self._handle)

    @contextlib.contextmanager
    def closing(self, controller: "SearchController") -> Iterator[None]:
        """Let the first signal in the block close the search."""
        self._controller = controller
        try:
            yield
        finally:
            self._controller = None

    def _handle(self, signum: int, _: object) -> None:
        self._received += 1
        if self._received == 1:
            self.signum = signum
            if self._controller is not None:
                self._controller.close("interrupt")
                return
        raise KeyboardInterrupt
