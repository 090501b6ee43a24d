"""What a person sees of a search while it runs: a live view in a terminal, elsewhere lines."""

import os
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

if TYPE_CHECKING:
    from ..orchestration.snapshot import SearchSnapshot, TrialRow

_BEST = 5
_MOST_RUNNING = 8
_LINE_SECONDS = 10.0
_REFRESHES = 4  # a second, at most
_NARROW = 56  # columns below which the spread over replicas is left out


class View(ABC):
    """Where the snapshots and remarks of a search go; leaving it ends the show."""

    @abstractmethod
    def watch(self, snapshot: "SearchSnapshot") -> None:
        """Take the state of the search; cheap enough for every evaluation of every trial."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a remark that stays."""

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
    """Return a view on a stream: live in a terminal that can move its cursor, else lines."""
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return LiveView(Console(file=stream, markup=False, emoji=False, highlight=False))
    return PlainView(stream)


@final
class LiveView(View):
    """A bar with what is left, the trials under way and the best ones, drawn in place."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._snapshot: SearchSnapshot | None = None
        self._arrived = self._began = clock()
        self._live = Live(
            console=console,
            get_renderable=self.drawn,
            refresh_per_second=_REFRESHES,
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

    def watch(self, snapshot: "SearchSnapshot") -> None:
        """Keep the snapshot; the view is redrawn at its own pace."""
        self._snapshot, self._arrived = snapshot, self._clock()

    def say(self, text: str) -> None:
        """Show a remark above the view."""
        self._console.print(text)

    def drawn(self) -> RenderableType:
        """Return the view as it stands."""
        snapshot = self._snapshot
        if snapshot is None:
            return Text(f"starting, {duration(self._clock() - self._began)}", style="dim")
        since = self._clock() - self._arrived
        narrow = self._console.width < _NARROW
        parts = [_bar(snapshot, since, narrow=narrow), Text(counts(snapshot))]
        if snapshot.notice:
            parts.append(Text(snapshot.notice, style="yellow"))
        return Group(*parts, Text(), _trials(snapshot, self._console.size, narrow=narrow))


@final
class PlainView(View):
    """A line about every ten seconds or tenth of the trials, whichever comes first."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = -_LINE_SECONDS
        self._tenth = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def watch(self, snapshot: "SearchSnapshot") -> None:
        """Write a line if one is due."""
        now, tenth = self._clock(), 10 * snapshot.done // max(snapshot.total, 1)
        if tenth == self._tenth and now - self._last < _LINE_SECONDS:
            return
        self._last, self._tenth = now, tenth
        self.say(line(snapshot))

    def say(self, text: str) -> None:
        """Write a remark."""
        print(text, file=self._stream, flush=True)


def line(snapshot: "SearchSnapshot") -> str:
    """Return a snapshot in one line."""
    running = _running(snapshot)
    under_way = [f"{_called(row)} {_pass(row)} {_score(row)}".strip() for row in running]
    if len(under_way) > _MOST_RUNNING:
        more = len(under_way) - _MOST_RUNNING
        under_way = [*under_way[:_MOST_RUNNING], f"{more} more"]
    best = [f"{_called(row)} {_score(row)}" for row in snapshot.best(_BEST)]
    parts = [
        f"{snapshot.done} of {snapshot.total} trials: {counts(snapshot)}",
        f"best: {', '.join(best)}" if best else "",
        f"running: {', '.join(under_way)}" if under_way else "",
        snapshot.notice,
        pace(snapshot),
    ]
    return "; ".join(part for part in parts if part)


def counts(snapshot: "SearchSnapshot") -> str:
    """Return how many trials ended in which way."""
    failures = snapshot.failures()
    reasons = ", ".join(f"{reason} {count}" for reason, count in failures.items())
    return (
        f"{snapshot.count('COMPLETE')} complete, {snapshot.count('PRUNED')} pruned, "
        f"{snapshot.count('FAIL')} failed" + (f" ({reasons})" if reasons else "")
    )


def pace(snapshot: "SearchSnapshot", since: float = 0.0) -> str:
    """Return the time taken and the time left, `since` seconds after the snapshot."""
    taken = duration(snapshot.seconds + since)
    if snapshot.eta is None or snapshot.done >= snapshot.total:
        return taken
    return f"{taken}, {duration(max(snapshot.eta - since, 0.0))} left"


def duration(seconds: float) -> str:
    """Return a length of time in at most two units."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"
    if minutes < 10:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    if minutes < 60:
        return f"{minutes:.0f} min"
    if hours < 24:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(days)} d {int(hours % 24)} h"


def _bar(snapshot: "SearchSnapshot", since: float, *, narrow: bool) -> RenderableType:
    bar = ProgressBar(total=max(snapshot.total, 1), completed=snapshot.done)
    done, times = f"{snapshot.done}/{snapshot.total}", pace(snapshot, since)
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    if narrow:
        grid.add_row(bar)
        grid.add_row(f"{done}  {times}")
        return grid
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_row(bar, done, times)
    return grid


def _trials(
    snapshot: "SearchSnapshot", size: ConsoleDimensions, *, narrow: bool
) -> RenderableType:
    """Return the trials under way and the best ones as one table."""
    table = Table(box=None, pad_edge=False, padding=(0, 1 if narrow else 2, 0, 0))
    for heading, justify in (("", "left"), ("trial", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column(
        "method", no_wrap=True, overflow="ellipsis", max_width=size.width - (26 if narrow else 38)
    )
    table.add_column("pass", justify="right", no_wrap=True)
    table.add_column("score", no_wrap=True)
    running = _running(snapshot)
    shown = max(1, min(_MOST_RUNNING, size.height - _BEST - (11 if narrow else 8)))
    for index, row in enumerate(running[:shown]):
        _add(table, "" if index else "now", row, _pass(row), narrow)
    if len(running) > shown:
        table.add_row("", "", f"{len(running) - shown} more", "", "")
    for index, row in enumerate(snapshot.best(_BEST)):
        _add(table, "" if index else "best", row, "", narrow)
    return table


def _add(table: Table, what: str, row: "TrialRow", passes: str, narrow: bool) -> None:
    table.add_row(what, str(row.number), row.method, passes, _score(row, spread=not narrow))


def _running(snapshot: "SearchSnapshot") -> list["TrialRow"]:
    return [row for row in snapshot.rows if row.state == "RUNNING"]


def _called(row: "TrialRow") -> str:
    return f"{row.number} {row.method}"


def _pass(row: "TrialRow") -> str:
    return f"{row.epoch}/{row.passes}" if row.passes else ""


def _score(row: "TrialRow", *, spread: bool = True) -> str:
    if row.value is None:
        return ""
    return f"{row.value:.3f} ± {row.sd:.3f}" if spread and row.sd else f"{row.value:.3f}"
