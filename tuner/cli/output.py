"""Results go to stdout, messages to stderr, and errors are a single line."""

import io
import os
import re
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from ..errors import DiskError
from ..redaction import redact

if TYPE_CHECKING:
    from rich.table import Table

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST_WORD = 256  # characters, more than the path of a file usually has
_NARROWEST = 40  # columns, below which words are not kept whole
_SIGPIPE = 128 + 13  # the exit code of a program that SIGPIPE kills


def prepare_streams() -> None:
    """Make stdout and stderr take every character, and be there even where they were closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show_json(document: Any) -> None:
    """Write a JSON document to stdout."""
    import json

    show(json.dumps(document, indent=2))


def show_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[str] = ()
) -> None:
    """Write rows under headings to stdout, wrapping long cells instead of cutting them.

    Cells under the headings in `whole` are never wrapped, because they are names to be copied.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in whole)
    for row in rows:
        table.add_row(*map(_harmless, row))
    _render(table)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write pairs of name and value to stdout."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(_harmless(name), _harmless(text))
    _render(table)


def show(text: str) -> None:
    """Write text to stdout, or exit silently if the reader (`head`, say) has closed the pipe."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise typer.Exit(discard_stdout()) from None
    except OSError as error:
        discard_stdout()
        raise DiskError(
            f"the result cannot be written to stdout ({error.strerror}): free some space, or "
            "write it to another place"
        ) from None


def discard_stdout() -> int:
    """Send the rest of stdout to the null device after a broken pipe; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _SIGPIPE


def give_up_stderr() -> None:
    """Drop what stderr cannot take, such as a full disk: it must not decide the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def log(text: str) -> None:
    """Write a line to stderr, if it takes any: a lost message must not end a search."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def show_error(message: str) -> None:
    """Write an error to stderr as one printable line, with secrets masked."""
    line = " ".join(map(_abridged, redact(message).split()))
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    in_colour = sys.stderr.isatty() and not dumb and not os.environ.get("NO_COLOR")
    start = "\033[1;31merror:\033[0m" if in_colour else "error:"
    log(f"{start} {_fitted(printable) if sys.stderr.isatty() else printable}")


def _fitted(line: str) -> str:
    """Return a line that follows `error: ` broken between words where the terminal ends."""
    columns = os.get_terminal_size(sys.stderr.fileno()).columns
    if columns == 0:  # nobody knows where it ends
        return line
    wrapper = textwrap.TextWrapper(
        width=max(columns, _NARROWEST),
        initial_indent=" " * len("error: "),
        subsequent_indent=" " * len("error: "),
        break_long_words=False,  # so that a path can be copied
        break_on_hyphens=False,
    )
    return wrapper.fill(line).lstrip()


def _harmless(text: str) -> str:
    """Return a text that cannot command the terminal or turn around what is beside it."""
    return _COMMANDS.sub(lambda found: repr(found[0])[1:-1], text)


def _abridged(word: str) -> str:
    """Return a word without its middle if nobody would read it to the end."""
    return word if len(word) <= _LONGEST_WORD else f"{word[:60]}…{word[-20:]}"


def _render(table: "Table") -> None:
    """Write a table fitted to the terminal, or unwrapped and without colour to a pipe."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    written = io.StringIO()  # stdout itself is written to by `show` alone, which knows its errors
    console = Console(
        file=written,
        width=None if is_terminal or "COLUMNS" in os.environ else 10_000,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=is_terminal,
    )
    console.print(table)
    show("\n".join(line.rstrip() for line in written.getvalue().splitlines()))
