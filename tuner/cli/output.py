"""Results go to stdout, messages to stderr, and errors are a single line."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ..redaction import redact

if TYPE_CHECKING:
    from rich.table import Table

_SIGPIPE = 128 + 13  # the exit code of a program that SIGPIPE kills


def show_json(document: Any) -> None:
    """Write a JSON document to stdout."""
    import json

    show(json.dumps(document, indent=2))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows under headings to stdout, wrapping long cells instead of cutting them."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _render(table)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write pairs of name and value to stdout."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, text)
    _render(table)


def show(text: str) -> None:
    """Write text to stdout, or exit silently if the reader (`head`, say) has closed the pipe."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise typer.Exit(discard_stdout()) from None


def discard_stdout() -> int:
    """Send the rest of stdout to the null device after a broken pipe; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _SIGPIPE


def log(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def show_error(message: str) -> None:
    """Write an error to stderr as one printable line, with secrets masked."""
    line = " ".join(redact(message).split())
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    in_colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    log(f"\033[1;31merror:\033[0m {printable}" if in_colour else f"error: {printable}")


def _render(table: "Table") -> None:
    """Write a table fitted to the terminal, or unwrapped and without colour to a pipe."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    console = Console(
        width=None if is_terminal or "COLUMNS" in os.environ else 10_000,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=None if is_terminal else False,
    )
    with console.capture() as captured:
        console.print(table)
    show("\n".join(line.rstrip() for line in captured.get().splitlines()))
