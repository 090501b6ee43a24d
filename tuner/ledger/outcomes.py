"""What a trial that has ended amounts to: whether it is usable, and else how it failed."""

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar


class Ended(Protocol):
    """A trial, as a record of the ledger or as a row of a snapshot."""

    @property
    def state(self) -> str:
        """The state in the ledger."""

    @property
    def value(self) -> float | None:
        """The value, None unless the trial is complete."""

    @property
    def reason(self) -> str | None:
        """Why there is no usable result, None if there is one."""


_Trial = TypeVar("_Trial", bound=Ended)


def is_usable(trial: Ended) -> bool:
    """Return whether a trial has a value and found clusters, so that it may be the best."""
    return trial.value is not None and math.isfinite(trial.value) and trial.reason is None


def failure_kind(reason: str | None) -> str:
    """Return the reason of a failure without its details, such as the type of an exception."""
    return (reason or "unknown").split(":")[0]


def by_kind(trials: Iterable[_Trial]) -> dict[str, list[_Trial]]:
    """Return trials by the kind of their failure, in the order in which the kinds appear."""
    kinds: dict[str, list[_Trial]] = {}
    for trial in trials:
        kinds.setdefault(failure_kind(trial.reason), []).append(trial)
    return kinds


def failure_counts(trials: Iterable[Ended]) -> dict[str, int]:
    """Return how many trials failed, by kind of failure."""
    failed = by_kind(trial for trial in trials if trial.state == "FAIL")
    return {kind: len(failed[kind]) for kind in sorted(failed)}
