"""The state of a search at one moment: its trials, how many have ended, and the best of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self, final

from ..ledger.outcomes import failure_counts, is_usable
from .time_left import Finals, time_left

if TYPE_CHECKING:
    from ..ledger.records import State, TrialRecord


@final
@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial of a snapshot, which has made `epoch` of its `passes` over the data.

    `seconds` is the time that those took, 0 where unknown, and `overhead` that between its worker
    being free and its training. `pace` is the seconds of a pass at its last evaluations, the
    latest of them `at` so many seconds after the driver's start.
    """

    number: int
    method: str
    state: "State"
    value: float | None = None
    sd: float = 0.0
    epoch: int = 0
    passes: int = 0
    reason: str | None = None
    seconds: float = 0.0
    pace: float | None = None
    at: float = 0.0
    overhead: float | None = None

    @classmethod
    def from_record(cls, record: "TrialRecord", *, passes: int = 0) -> Self:
        """Return the row of a trial that has ended; `passes` is how many it was to make."""
        whole = record.attempt == 0  # the seconds of a later attempt are those of a part
        return cls(
            number=record.number,
            method=record.method,
            state=record.state,
            value=record.value,
            sd=record.outcome.get("sd", 0.0),
            epoch=record.outcome.get("epoch", 0),
            passes=passes,
            reason=record.reason,
            seconds=record.outcome.get("seconds", 0.0) if whole else 0.0,
        )


@final
@dataclass(frozen=True, kw_only=True)
class SearchSnapshot:
    """The trials of a search at one moment.

    `total` is the number of trials that the search is to run, `finished_before` how many had ended
    before this driver started, `seconds` the time since then. `workers` run trials side by side,
    until the seconds of `budget` are over, and then the finalists.
    """

    total: int
    rows: tuple[TrialRow, ...]
    seconds: float
    finished_before: int
    workers: int = 1
    budget: float | None = None
    finals: Finals | None = None

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.rows)

    @property
    def done(self) -> int:
        """Number of trials that have ended."""
        return len(self.rows) - self.count("RUNNING")

    @cached_property
    def eta(self) -> float | None:
        """Seconds left by the work that is left, None before a trial has been evaluated."""
        return time_left(
            sorted(self.rows, key=lambda row: row.number),
            to_come=self.total - len(self.rows),
            workers=self.workers,
            now=self.seconds,
            budget=None if self.budget is None else self.budget - self.seconds,
            finals=self.finals,
        )

    def best(self, n: int) -> list[TrialRow]:
        """Return the n best complete trials, best first."""
        complete = [row for row in self.rows if row.state == "COMPLETE" and is_usable(row)]
        return sorted(complete, key=lambda row: -(row.value or 0.0))[:n]

    def failures(self) -> dict[str, int]:
        """Return how many trials failed, by kind of failure."""
        return failure_counts(self.rows)


ProgressCallback = Callable[[SearchSnapshot], None]
TrialCallback = Callable[[TrialRow], None]
"""Called once for each trial that ends; what it raises ends the search, which can be resumed."""


def state_counts(trials: "Iterable[TrialRecord]") -> dict[str, int]:
    """Return how many trials there are, and how many are complete, pruned and failed."""
    states = [trial.state for trial in trials]
    return {
        "total": len(states),
        "complete": states.count("COMPLETE"),
        "pruned": states.count("PRUNED"),
        "failed": states.count("FAIL"),
    }
