"""The progress of a search in a notebook: one output, replaced in place.

It needs no widgets, which front ends of notebooks have in many versions or not at all.
"""

import html
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, final

from ...reports.words import duration, score_text
from .base import View
from .events import Evaluated, Event, Stage, Usage
from .words import (
    MAX_BEST,
    MAX_RUNNING,
    counts,
    epoch,
    left,
    line,
    running_rows,
    stage_line,
    times,
    usage_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..snapshot import SearchSnapshot, TrialRow

_SECONDS = 0.5  # between two updates, each of which is a message to the browser
_STARTING = Stage(name="", text="starting")
_HEADINGS = ("", "trial", "method", "epoch", "score")

Bundle = dict[str, str]
"""The same output by type of content: HTML, and plain text for what shows no HTML."""


@final
class NotebookView(View):
    """Messages, a bar, what is done now and in use, and the running and the best trials.

    The messages and the final counts stay below the cell when the search has ended.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._messages: list[str] = []
        self._snapshot: SearchSnapshot | None = None
        self._stage = _STARTING
        self._usage: Usage | None = None
        self._shown = self._stage_began = clock()
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import display

        self._handle = display(self.bundle(ended=False), raw=True, display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._show(ended=True)

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Show the snapshot if the last one has been seen for long enough."""
        self._snapshot = snapshot
        self._show_if_due()

    def show(self, event: Event) -> None:
        """Show the event, if what is shown has been seen for long enough."""
        match event:
            case Stage():
                if event.name != self._stage.name:
                    self._stage_began = self._clock()
                self._stage = event
                self._show_if_due()
            case Usage():
                self._usage = event
                self._show_if_due()
            case Evaluated():
                self._snapshot = event.snapshot
                self.log(event.text)

    def ended(self, row: "TrialRow") -> None:
        """Do nothing: the next snapshot has the trial."""

    def log(self, text: str) -> None:
        """Show a message above the bar."""
        self._messages.append(text)
        self._show(ended=False)

    def bundle(self, *, ended: bool) -> Bundle:
        """Return what is shown now."""
        rows, lines = [_paragraph(text) for text in self._messages], list(self._messages)
        if ended:
            if self._snapshot is not None:
                rows.append(_paragraph(_state(self._snapshot)))
                lines.append(line(self._snapshot))
        else:
            rows += self._work()
            lines.append(stage_line(self._stage, self._clock() - self._stage_began))
            lines += [] if self._snapshot is None else [line(self._snapshot, self._usage)]
        return {"text/html": f"<div>{''.join(rows)}</div>", "text/plain": "\n".join(lines)}

    def _work(self) -> list[str]:
        """Return how far the search is, what it does now, and what is in use."""
        snapshot, stage = self._snapshot, self._stage
        taken = duration(self._clock() - self._stage_began)
        doing = ", ".join(filter(None, (stage.text, taken, left(stage.seconds_left))))
        parts = [] if snapshot is None else [_paragraph(_state(snapshot))]
        parts.append(_paragraph(doing))
        if self._usage is not None:
            parts.append(_paragraph(usage_text(self._usage)))
        if snapshot is None:
            return parts
        if stage.total:
            bar, running = _bar(stage.done, stage.total), list(stage.rows)
        else:
            bar, running = _bar(snapshot.done, snapshot.total), running_rows(snapshot)
        return [bar, *parts, _table(snapshot, running)]

    def _show_if_due(self) -> None:
        if self._clock() - self._shown >= _SECONDS:
            self._show(ended=False)

    def _show(self, *, ended: bool) -> None:
        self._shown = self._clock()
        if self._handle is not None:
            self._handle.update(self.bundle(ended=ended), raw=True)


def _paragraph(text: str) -> str:
    return f"<div>{html.escape(text)}</div>"


def _state(snapshot: "SearchSnapshot") -> str:
    """Return how many trials have ended, how, and in what time."""
    done = f"{snapshot.done} of {snapshot.total} trials"
    return f"{done}: {counts(snapshot)}; {times(snapshot)}"


def _bar(done: int, total: int) -> str:
    return f"<progress value='{done}' max='{max(total, 1)}' style='width:100%'></progress>"


def _table(snapshot: "SearchSnapshot", running: "Sequence[TrialRow]") -> str:
    """Return the running and the best trials as a table."""
    headings = "".join(f"<th style='text-align:left'>{name}</th>" for name in _HEADINGS)
    body = "".join(
        f"<tr>{''.join(_cell(text) for text in row)}</tr>" for row in _rows(snapshot, running)
    )
    return f"<table><tr>{headings}</tr>{body}</table>" if body else ""


def _rows(snapshot: "SearchSnapshot", running: "Sequence[TrialRow]") -> Iterator[tuple[str, ...]]:
    groups = (("now", running[:MAX_RUNNING]), ("best", snapshot.best(MAX_BEST)))
    for name, group in groups:
        for index, row in enumerate(group):
            far = epoch(row) if row.state == "RUNNING" else ""
            yield ("" if index else name, str(row.number), row.method, far, _score(row))


def _score(row: "TrialRow") -> str:
    return "" if row.value is None else score_text({"score": row.value, "sd": row.sd})


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(text)}</td>"
