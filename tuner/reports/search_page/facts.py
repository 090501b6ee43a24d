"""What a page says of a search, from its ledger, its result and its files."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from ...ledger.outcomes import is_usable

if TYPE_CHECKING:
    from ...ledger.importances import Importances
    from ...ledger.records import TrialRecord
    from ...training.finalist import Finalist


@final
@dataclass(frozen=True, kw_only=True)
class FailureKind:
    """Trials that ended without a usable result for one reason; `detail` explains the first."""

    kind: str
    trials: Sequence[int]
    detail: str


@final
@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of the champion: the name of its file, without `.png`, and its content."""

    name: str
    content: bytes


@final
@dataclass(frozen=True, kw_only=True)
class SearchFacts:
    """A search at one moment.

    `state` is `running`, `done` or `stopped`, and `stopped` why it ended before its `total`
    trials. `record` is what the ledger recorded when it began. `shown` is the trial of the
    pictures, and `no_pictures` says why there are none. `result` is what the ledger stores of it,
    None until the search has ended. `written` and the times of trials are in seconds since 1970.
    """

    name: str
    state: str
    stopped: str | None
    total: int
    seconds: float
    record: Mapping[str, Any]
    trials: Sequence["TrialRecord"]
    finalists: Sequence["Finalist"]
    failures: Sequence[FailureKind]
    importances: Sequence["Importances"]
    result: Mapping[str, Any] | None
    pictures: Sequence[Picture] = ()
    shown: int | None = None
    no_pictures: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    written: float = 0.0

    @property
    def study(self) -> Mapping[str, Any]:
        """The study as JSON values; searches of earlier versions may lack some."""
        return self.record.get("study", {})  # type: ignore[no-any-return]

    @property
    def champion(self) -> Mapping[str, Any] | None:
        """The version that was registered, None where there is none."""
        return None if self.result is None else self.result["champion"]

    @property
    def methods(self) -> list[str]:
        """The methods that are searched."""
        return list(map(str, self.study.get("methods", ())))

    @property
    def replicas(self) -> int:
        """The number of seeds of each trial."""
        return int(self.study.get("replicas", 1))

    @property
    def restarts(self) -> int:
        """The number of candidates of each replica."""
        return int(self.study.get("restarts", 1))

    @property
    def labels_used(self) -> bool:
        """Whether labels were allowed to take part in the choice of a model."""
        return bool(self.study.get("use_labels"))

    def searched(self, method: str) -> dict[str, Mapping[str, Any]]:
        """Return the range or the choices of each searched setting of a method."""
        return {
            key.removeprefix(f"{method}."): entry
            for key, entry in self.record.get("searched", {}).items()
            if key.startswith(f"{method}.") and isinstance(entry, Mapping)
        }

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    def complete(self, method: str | None = None) -> list["TrialRecord"]:
        """Return the complete trials, of one method if it is given, best first."""
        found = [t for t in self.trials if t.state == "COMPLETE" and known(t.value)]
        return sorted(
            (trial for trial in found if method in (None, trial.method)),
            key=lambda trial: -(trial.value or 0.0),
        )


def known(value: float | None) -> bool:
    """Return whether a value is a finite number."""
    return value is not None and math.isfinite(value)


def last_value(trial: "TrialRecord") -> float | None:
    """Return the value of a trial, or else the last one that it reported."""
    if known(trial.value):
        return trial.value
    values = trial.intermediate_values
    last = values[max(values)] if values else None
    return last if known(last) else None


def best_so_far(trials: Sequence["TrialRecord"]) -> Iterator["TrialRecord"]:
    """Yield each trial that was better than all before it."""
    best = -math.inf
    for trial in trials:
        if is_usable(trial) and trial.value is not None and trial.value > best:
            best = trial.value
            yield trial
