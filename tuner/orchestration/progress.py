"""The progress of a running search: a live view in a terminal, plain lines elsewhere."""

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, final

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..reports.words import duration

if TYPE_CHECKING:
    from .snapshot import SearchSnapshot, TrialRow

_MAX_BEST = 5
_MAX_RUNNING = 8
_LINE_SECONDS = 10.0
_REFRESHES_PER_SECOND = 4
_NARROW = 56  # below this many columns the spread over replicas is omitted


class View(ABC):
    """Context manager that displays the snapshots and messages of a search."""

    @abstractmethod
    def update(self, snapshot: "SearchSnapshot") -> None:
        """Accept a new snapshot; cheap enough to call for every evaluation of every trial."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Show a message permanently."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def view(stream: TextIO) -> View:
    """Return a live view in a notebook or a terminal with cursor control, else a plain one."""
    if in_notebook():
        from .notebook import NotebookView

        return NotebookView()
    if is_live(stream):
        return LiveView(Console(file=stream, markup=False, emoji=False, highlight=False))
    return PlainView(stream)


def is_live(stream: TextIO) -> bool:
    """Return whether somebody can watch: in a notebook, or a terminal with cursor control."""
    is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return is_terminal or in_notebook()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@final
class LiveView(View):
    """A progress bar and a table of the running and the best trials, redrawn in place."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._snapshot: SearchSnapshot | None = None
        self._updated = self._started = clock()
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Store the snapshot for the next refresh."""
        self._snapshot, self._updated = snapshot, self._clock()

    def log(self, text: str) -> None:
        """Print a message above the view."""
        self._console.print(text)

    def render(self) -> RenderableType:
        """Return the current view."""
        snapshot = self._snapshot
        if snapshot is None:
            return Text(f"starting, {duration(self._clock() - self._started)}", style="dim")
        elapsed = self._clock() - self._updated
        narrow = self._console.width < _NARROW
        parts = [_bar(snapshot, elapsed, narrow=narrow), Text(counts(snapshot))]
        return Group(*parts, Text(), _trial_table(snapshot, self._console.size, narrow=narrow))


@final
class PlainView(View):
    """A line every ten seconds or every tenth of the trials, whichever comes first."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last_time = -_LINE_SECONDS
        self._last_tenth = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Write a line if one is due."""
        now, tenth = self._clock(), 10 * snapshot.done // max(snapshot.total, 1)
        if tenth == self._last_tenth and now - self._last_time < _LINE_SECONDS:
            return
        self._last_time, self._last_tenth = now, tenth
        self.log(line(snapshot))

    def log(self, text: str) -> None:
        """Write a message."""
        print(text, file=self._stream, flush=True)


def line(snapshot: "SearchSnapshot") -> str:
    """Return a snapshot on one line."""
    running = [f"{_label(row)} {_epoch(row)} {_score(row)}".strip() for row in _running(snapshot)]
    if len(running) > _MAX_RUNNING:
        running = [*running[:_MAX_RUNNING], f"{len(running) - _MAX_RUNNING} more"]
    best = [f"{_label(row)} {_score(row)}" for row in snapshot.best(_MAX_BEST)]
    parts = [
        f"{snapshot.done} of {snapshot.total} trials: {counts(snapshot)}",
        f"best: {', '.join(best)}" if best else "",
        f"running: {', '.join(running)}" if running else "",
        times(snapshot),
    ]
    return "; ".join(part for part in parts if part)


def counts(snapshot: "SearchSnapshot") -> str:
    """Return the number of trials by final state, and of failures by reason."""
    failures = snapshot.failures()
    reasons = ", ".join(f"{reason} {count}" for reason, count in failures.items())
    return (
        f"{snapshot.count('COMPLETE')} complete, {snapshot.count('PRUNED')} pruned, "
        f"{snapshot.count('FAIL')} failed" + (f" ({reasons})" if reasons else "")
    )


def times(snapshot: "SearchSnapshot", elapsed: float = 0.0) -> str:
    """Return the time taken and the time left, `elapsed` seconds after the snapshot."""
    taken = duration(snapshot.seconds + elapsed)
    if snapshot.eta is None or snapshot.done >= snapshot.total:
        return taken
    return f"{taken}, {duration(max(snapshot.eta - elapsed, 0.0))} left"


def _bar(snapshot: "SearchSnapshot", elapsed: float, *, narrow: bool) -> RenderableType:
    bar = ProgressBar(total=max(snapshot.total, 1), completed=snapshot.done)
    done, time_text = f"{snapshot.done}/{snapshot.total}", times(snapshot, elapsed)
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    if narrow:
        grid.add_row(bar)
        grid.add_row(f"{done}  {time_text}")
        return grid
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_row(bar, done, time_text)
    return grid


def _trial_table(
    snapshot: "SearchSnapshot", size: ConsoleDimensions, *, narrow: bool
) -> RenderableType:
    """Return the running and the best trials as one table."""
    table = Table(box=None, pad_edge=False, padding=(0, 1 if narrow else 2, 0, 0))
    for heading, justify in (("", "left"), ("trial", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column(
        "method", no_wrap=True, overflow="ellipsis", max_width=size.width - (26 if narrow else 38)
    )
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column("score", no_wrap=True)
    running = _running(snapshot)
    shown = max(1, min(_MAX_RUNNING, size.height - _MAX_BEST - (11 if narrow else 8)))
    for index, row in enumerate(running[:shown]):
        _add_row(table, "" if index else "now", row, _epoch(row), narrow)
    if len(running) > shown:
        table.add_row("", "", f"{len(running) - shown} more", "", "")
    for index, row in enumerate(snapshot.best(_MAX_BEST)):
        _add_row(table, "" if index else "best", row, "", narrow)
    return table


def _add_row(table: Table, label: str, row: "TrialRow", epoch: str, narrow: bool) -> None:
    table.add_row(label, str(row.number), row.method, epoch, _score(row, spread=not narrow))


def _running(snapshot: "SearchSnapshot") -> list["TrialRow"]:
    return [row for row in snapshot.rows if row.state == "RUNNING"]


def _label(row: "TrialRow") -> str:
    return f"{row.number} {row.method}"


def _epoch(row: "TrialRow") -> str:
    return f"{row.epoch}/{row.passes}" if row.passes else ""


def _score(row: "TrialRow", *, spread: bool = True) -> str:
    if row.value is None:
        return ""
    return f"{row.value:.3f} ± {row.sd:.3f}" if spread and row.sd else f"{row.value:.3f}"
