"""The progress of a search in a notebook: one output, replaced in place.

It needs no widgets, which front ends of notebooks have in many versions or not at all.
"""

import html
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from ..reports.words import score_text
from .progress import View, counts, line, times

if TYPE_CHECKING:
    from .snapshot import SearchSnapshot, TrialRow

_SECONDS = 0.5  # between two updates, each of which is a message to the browser
_MAX_BEST = 5
_MAX_RUNNING = 8
_HEADINGS = ("", "trial", "method", "epoch", "score")

Bundle = dict[str, str]
"""The same output by type of content: HTML, and plain text for what shows no HTML."""


@final
class NotebookView(View):
    """Messages, a progress bar, and a table of the running and the best trials.

    The messages and the final counts stay below the cell when the search has ended.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._messages: list[str] = []
        self._snapshot: SearchSnapshot | None = None
        self._shown = clock()
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import display

        self._handle = display(self.bundle(ended=False), raw=True, display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show(ended=True)

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Show the snapshot if the last one has been seen for long enough."""
        self._snapshot = snapshot
        if self._clock() - self._shown >= _SECONDS:
            self._show(ended=False)

    def log(self, text: str) -> None:
        """Show a message above the bar."""
        self._messages.append(text)
        self._show(ended=False)

    def bundle(self, *, ended: bool) -> Bundle:
        """Return what is shown now."""
        snapshot = self._snapshot
        rows = [_paragraph(text) for text in self._messages]
        lines = list(self._messages)
        if snapshot is not None:
            rows += [_state(snapshot)] if ended else [_bar(snapshot), _table(snapshot)]
            lines.append(line(snapshot))
        elif not ended:
            rows.append(_paragraph("starting"))
            lines.append("starting")
        return {"text/html": f"<div>{''.join(rows)}</div>", "text/plain": "\n".join(lines)}

    def _show(self, *, ended: bool) -> None:
        self._shown = self._clock()
        if self._handle is not None:
            self._handle.update(self.bundle(ended=ended), raw=True)


def _paragraph(text: str) -> str:
    return f"<div>{html.escape(text)}</div>"


def _state(snapshot: "SearchSnapshot") -> str:
    """Return how many trials have ended, how, and in what time."""
    done = f"{snapshot.done} of {snapshot.total} trials"
    return _paragraph(f"{done}: {counts(snapshot)}; {times(snapshot)}")


def _bar(snapshot: "SearchSnapshot") -> str:
    total = max(snapshot.total, 1)
    bar = f"<progress value='{snapshot.done}' max='{total}' style='width:100%'></progress>"
    return bar + _state(snapshot)


def _table(snapshot: "SearchSnapshot") -> str:
    """Return the running and the best trials as a table."""
    headings = "".join(f"<th style='text-align:left'>{name}</th>" for name in _HEADINGS)
    body = "".join(
        f"<tr>{''.join(_cell(text) for text in row)}</tr>" for row in _table_rows(snapshot)
    )
    return f"<table><tr>{headings}</tr>{body}</table>" if body else ""


def _table_rows(snapshot: "SearchSnapshot") -> Iterator[tuple[str, ...]]:
    running = (row for row in snapshot.rows if row.state == "RUNNING")
    groups = (("now", islice(running, _MAX_RUNNING)), ("best", snapshot.best(_MAX_BEST)))
    for name, group in groups:
        for index, row in enumerate(group):
            yield ("" if index else name, str(row.number), row.method, _epoch(row), _score(row))


def _epoch(row: "TrialRow") -> str:
    return f"{row.epoch}/{row.passes}" if row.passes and row.state == "RUNNING" else ""


def _score(row: "TrialRow") -> str:
    return "" if row.value is None else score_text({"score": row.value, "sd": row.sd})


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(text)}</td>"
