"""The progress of a search or a training: live in a terminal, in lines elsewhere, or none."""

import os
import sys
from typing import TextIO

from rich.console import Console

from ...errors import UsageError, did_you_mean
from .base import View
from .lines import JsonView, PlainView, QuietView
from .live import LiveView

__all__ = ["MODES", "JsonView", "LiveView", "PlainView", "QuietView", "View", "is_live", "view"]

MODES = ("auto", "live", "plain", "json", "quiet")
"""How progress is shown: `auto` is live where somebody can watch and plain elsewhere."""


def view(stream: TextIO, mode: str = "auto") -> View:
    """Return the view of a mode; live ones are for notebooks and terminals with cursor control.

    Raises UsageError for another name.
    """
    check_mode(mode)
    if mode == "quiet":
        return QuietView()
    if mode == "json":
        return JsonView(stream)
    if mode == "plain" or (mode == "auto" and not is_live(stream)):
        return PlainView(stream)
    if in_notebook():
        from .notebook import NotebookView

        return NotebookView()
    return LiveView(
        Console(file=stream, force_terminal=True, markup=False, emoji=False, highlight=False)
    )


def check_mode(mode: str, flag: str = "progress") -> None:
    """Raise UsageError unless a mode is one of `MODES`."""
    if mode not in MODES:
        near = did_you_mean(mode, MODES)
        raise UsageError(f"{flag} {mode!r} is no mode{near}: choose one of {', '.join(MODES)}")


def is_live(stream: TextIO) -> bool:
    """Return whether somebody can watch: in a notebook, or a terminal with cursor control."""
    is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return is_terminal or in_notebook()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"
