"""Runs a block with its progress on stderr, in one of the modes of `--progress`."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, TYPE_CHECKING, cast, final

from ..errors import TunerError

if TYPE_CHECKING:
    from ..orchestration.progress import View


class ToldError(Exception):
    """An error that the view has told already, so that nothing more is written about it."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


@contextmanager
def viewed(mode: str) -> Iterator["View"]:
    """Yield the view of a mode; what libraries print to stdout meanwhile goes with it."""
    from ..orchestration.progress import view

    with view(sys.stderr, mode) as shown, redirect_stdout(_printed(mode, shown)):
        yield shown


@contextmanager
def told_once(mode: str) -> Iterator[None]:
    """Let errors of a block that a JSON view has told pass without a further line on stderr."""
    try:
        yield
    except TunerError as error:
        if mode == "json":
            raise ToldError(error.exit_code) from None
        raise


def _printed(mode: str, view: "View") -> IO[str]:
    if mode == "quiet":
        return cast(IO[str], io.StringIO())
    return cast(IO[str], _Messages(view)) if mode == "json" else sys.stderr


@final
class _Messages(io.TextIOBase):
    """Makes a message of every line that is written."""

    def __init__(self, view: "View") -> None:
        super().__init__()
        self._view = view
        self._rest = ""

    def write(self, text: str) -> int:
        """Pass the lines that are complete to the view."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._view.log(line)
        return len(text)
