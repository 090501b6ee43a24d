"""The state of a search at one moment: its trials, how many have ended, and the best of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

if TYPE_CHECKING:
    from ..ledger.records import State, TrialRecord


@final
@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial of a snapshot."""

    number: int
    method: str
    state: "State"
    value: float | None = None
    sd: float = 0.0
    epoch: int = 0
    passes: int = 0
    reason: str | None = None

    @classmethod
    def from_record(cls, record: "TrialRecord") -> Self:
        """Return the row of a trial that has ended."""
        return cls(
            number=record.number,
            method=record.method,
            state=record.state,
            value=record.value,
            sd=record.outcome.get("sd", 0.0),
            reason=record.outcome.get("reason"),
        )


@final
@dataclass(frozen=True, kw_only=True)
class SearchSnapshot:
    """The trials of a search at one moment.

    `total` is the number of trials that the search is to run, `finished_before` how many had ended
    before this driver started, `seconds` the time since then.
    """

    total: int
    rows: tuple[TrialRow, ...]
    seconds: float
    finished_before: int

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.rows)

    @property
    def done(self) -> int:
        """Number of trials that have ended."""
        return len(self.rows) - self.count("RUNNING")

    @property
    def eta(self) -> float | None:
        """Seconds left at the pace so far, None before the first trial ends."""
        new = self.done - self.finished_before
        return None if new < 1 else self.seconds / new * (self.total - self.done)

    def best(self, n: int) -> list[TrialRow]:
        """Return the n best complete trials, best first."""
        complete = [row for row in self.rows if row.state == "COMPLETE" and is_usable(row)]
        return sorted(complete, key=lambda row: -(row.value or 0.0))[:n]

    def failures(self) -> dict[str, int]:
        """Return how many trials failed, by kind of failure."""
        kinds = [failure_kind(row.reason) for row in self.rows if row.state == "FAIL"]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


ProgressCallback = Callable[[SearchSnapshot], None]
TrialCallback = Callable[[TrialRow], None]
"""Called once for each trial that ends; what it raises ends the search, which can be resumed."""


def is_usable(trial: "TrialRow | TrialRecord") -> bool:
    """Return whether a trial has a value and found clusters, so that it may be the best."""
    reason = trial.reason if isinstance(trial, TrialRow) else trial.outcome.get("reason")
    return trial.value is not None and reason is None


def failure_kind(reason: str | None) -> str:
    """Return the reason of a failure without its details, such as the type of an exception."""
    return (reason or "unknown").split(":")[0]


def state_counts(trials: "Iterable[TrialRecord]") -> dict[str, int]:
    """Return how many trials there are, and how many are complete, pruned and failed."""
    states = [trial.state for trial in trials]
    return {
        "total": len(states),
        "complete": states.count("COMPLETE"),
        "pruned": states.count("PRUNED"),
        "failed": states.count("FAIL"),
    }
