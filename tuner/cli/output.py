"""Results to stdout, talk to stderr; what cannot be said in full is said in one sentence."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from ..redaction import redact

_CLOSED = 128 + 13  # as a program that SIGPIPE ends


def show_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    import json

    show(json.dumps(document, indent=2))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows under headings to stdout; nothing is cut off."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _show_rendered(table)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write names and what there is to say about them to stdout."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, text)
    _show_rendered(table)


def show(text: str) -> None:
    """Write text to stdout; end quietly where no one reads any more, as `head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise typer.Exit(leave_pipe()) from None


def leave_pipe() -> int:
    """Give up a closed pipe, so that nothing more fails on it, and return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _CLOSED


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Write an error to stderr as one sentence, whatever it quotes, and no secret."""
    line = " ".join(redact(message).split())
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    say(f"\033[1;31merror:\033[0m {shown}" if coloured else f"error: {shown}")


def _show_rendered(renderable: Any) -> None:
    """Write a table: fitted to a terminal, in full and without trailing blanks to a pipe."""
    from rich.console import Console

    width = None if _has_width() else 10_000
    plain = None if sys.stdout.isatty() else False
    console = Console(
        width=width, markup=False, emoji=False, highlight=False, force_terminal=plain
    )
    with console.capture() as captured:
        console.print(renderable)
    show("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _has_width() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ
