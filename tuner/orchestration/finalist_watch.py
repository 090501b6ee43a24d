"""Looks how far finalists are while they train, in the files that their workers write."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

from ..errors import FilesError
from ..training.evaluations import read_evaluations
from ..training.places import place
from ..training.trial_inputs import TrialSpec
from .progress.events import EventCallback, Stage
from .snapshot import TrialRow
from .time_left import Mark, makespan, pace_ahead, pace_of, running_left

Clock = Callable[[], float]


@final
class FinalistWatch:
    """Tells a view of the finalists that train, given by rank; `expected` are their first rows.

    Files in an object store are not looked at, since each look is a call of some seconds.
    """

    def __init__(
        self,
        specs: Mapping[int, TrialSpec],
        expected: Mapping[int, TrialRow],
        on_event: EventCallback,
        *,
        text: str,
        total: int,
        workers: int,
        clock: Clock = time.monotonic,
    ) -> None:
        self._specs = specs
        self._rows = dict(expected)
        self._on_event = on_event
        self._text = text
        self._total = total
        self._workers = workers
        self._clock = clock
        self._began = clock()

    def look(self) -> None:
        """Read how far each finalist is, and tell the view."""
        now = self._clock() - self._began
        for rank, row in self._rows.items():
            self._rows[rank] = self._latest(self._specs[rank], row, now)
        self._tell(now)

    def ended(self, rank: int) -> None:
        """Note that a finalist is done."""
        self._rows.pop(rank, None)
        self._tell(self._clock() - self._began)

    def _latest(self, spec: TrialSpec, row: TrialRow, now: float) -> TrialRow:
        folder = place(spec.folder)
        try:
            evaluations = read_evaluations(folder) if isinstance(folder, Path) else []
        except (FilesError, OSError):
            return row
        if not evaluations or evaluations[-1].epoch == row.epoch:
            return row
        last = evaluations[-1]
        marks = [Mark.of(each, spec.device) for each in evaluations]
        pace = pace_of(marks, rest=pace_ahead(last, spec.restarts, spec.device))
        return replace(
            row,
            value=last.value,
            sd=last.sd,
            epoch=last.epoch,
            passes=last.passes,
            pace=row.pace if pace is None else pace,
            at=now,
        )

    def _tell(self, now: float) -> None:
        rows = tuple(self._rows.values())
        known = all(row.pace is not None for row in rows)
        left = makespan([running_left(row, now=now) for row in rows], self._workers)
        self._on_event(
            Stage(
                name="finalists",
                text=self._text,
                done=self._total - len(rows),
                total=self._total,
                rows=rows,
                seconds_left=left if known else None,
            )
        )
