"""Progress as a view that is redrawn in place."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, final

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...reports.words import duration
from .base import View
from .events import Evaluated, Event, Stage, Usage
from .words import (
    MAX_BEST,
    MAX_RUNNING,
    counts,
    epoch,
    left,
    running_rows,
    score,
    times,
    usage_text,
)

if TYPE_CHECKING:
    from ..snapshot import SearchSnapshot, TrialRow

_REFRESHES_PER_SECOND = 4
_NARROW = 56  # below this many columns the spread over replicas is omitted
_STARTING = Stage(name="", text="starting")


@final
class LiveView(View):
    """A progress bar, what is done now and in use, and the running and the best trials."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._snapshot: SearchSnapshot | None = None
        self._stage = _STARTING
        self._usage: Usage | None = None
        self._updated = self._told = self._stage_began = clock()
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Store the snapshot for the next refresh."""
        self._snapshot, self._updated = snapshot, self._clock()

    def show(self, event: Event) -> None:
        """Store the event for the next refresh; an evaluation stays above the view."""
        match event:
            case Stage():
                self._told = self._clock()
                if event.name != self._stage.name:
                    self._stage_began = self._told
                self._stage = event
            case Usage():
                self._usage = event
            case Evaluated():
                self.log(event.text)
                self.update(event.snapshot)

    def ended(self, row: "TrialRow") -> None:
        """Do nothing: the next snapshot has the trial."""

    def log(self, text: str) -> None:
        """Print a message above the view."""
        self._console.print(text)

    def render(self) -> RenderableType:
        """Return the current view."""
        snapshot, stage, now = self._snapshot, self._stage, self._clock()
        parts: list[RenderableType] = [self._stage_text(now)]
        if self._usage is not None:
            parts.append(_dim(usage_text(self._usage)))
        if snapshot is None:
            return Group(*parts)
        narrow, running = self._console.width < _NARROW, running_rows(snapshot)
        if stage.total:
            text = left(stage.seconds_left, now - self._told)
            bar = _bar(
                _share(stage.done, stage.rows), stage.done, stage.total, text, narrow=narrow
            )
            running = list(stage.rows)
        else:
            text = times(snapshot, now - self._updated)
            share = _share(snapshot.done, running)
            bar = _bar(share, snapshot.done, snapshot.total, text, narrow=narrow)
        if snapshot.total > 1:
            parts.insert(0, Text(counts(snapshot)))
        table = _trial_table(snapshot, running, self._console.size, narrow=narrow)
        return Group(bar, *parts, Text(), table)

    def _stage_text(self, now: float) -> Text:
        return _dim(f"{self._stage.text}, {duration(now - self._stage_began)}")


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _share(done: int, running: "list[TrialRow] | tuple[TrialRow, ...]") -> float:
    """Return how many trainings are done, with parts of those that run."""
    return done + sum(min(row.epoch / row.passes, 1.0) for row in running if row.passes)


def _bar(share: float, done: int, total: int, text: str, *, narrow: bool) -> RenderableType:
    bar = ProgressBar(total=max(total, 1), completed=min(share, total))
    numbers = f"{done}/{total}"
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    if narrow:
        grid.add_row(bar)
        grid.add_row(f"{numbers}  {text}")
        return grid
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_row(bar, numbers, text)
    return grid


def _trial_table(
    snapshot: "SearchSnapshot",
    running: "list[TrialRow]",
    size: ConsoleDimensions,
    *,
    narrow: bool,
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
    shown = max(1, min(MAX_RUNNING, size.height - MAX_BEST - (13 if narrow else 10)))
    for index, row in enumerate(running[:shown]):
        _add_row(table, "" if index else "now", row, epoch(row), narrow)
    if len(running) > shown:
        table.add_row("", "", f"{len(running) - shown} more", "", "")
    for index, row in enumerate(snapshot.best(MAX_BEST)):
        _add_row(table, "" if index else "best", row, "", narrow)
    return table


def _add_row(table: Table, label: str, row: "TrialRow", passes: str, narrow: bool) -> None:
    table.add_row(label, str(row.number), row.method, passes, score(row, spread=not narrow))
