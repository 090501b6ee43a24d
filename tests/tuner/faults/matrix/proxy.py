"""A TCP proxy between a program and its server, which can delay or cut what passes through."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import final


@final
class Proxy:
    """Passes bytes on from its own port to another one, until told otherwise.

    `delay` is how long each piece that a client sends is held back, in seconds. `cut_after` is
    the number of bytes that a client's connection may send once it has sent `trigger`, before it
    is closed; None lets all pass. `cuts` counts the connections that were closed so, and no more
    than `cuts_left` more are.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.trigger = b""
        self.cut_after: int | None = None
        self.cuts = 0
        self.cuts_left = 0
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        target = ("127.0.0.1", self._target)
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(target) as server,
        ):
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            self._forward(client, server)
            back.join()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        left: int | None = None
        with contextlib.suppress(OSError):
            while piece := client.recv(4096):
                time.sleep(self.delay)
                if left is None and self.cuts_left > 0 and self.trigger in piece:
                    left = self.cut_after
                if left is not None and len(piece) > left:
                    self.cuts, self.cuts_left = self.cuts + 1, self.cuts_left - 1
                    server.sendall(piece[:left])
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(piece)
                left = None if left is None else left - len(piece)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of a server on loopback."""
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
