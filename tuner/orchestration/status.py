"""The status of a search, read from the ledger alone, even while the search runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

from ..ledger.lease import Lease
from ..ledger.ledger import Ledger
from ..ledger.outcomes import failure_counts, is_usable
from .snapshot import state_counts

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from ..methods.config import Scalar


@final
@dataclass(frozen=True, kw_only=True)
class TrialStatus:
    """One trial: `epoch` is the number of passes so far, `value` the latest one reported."""

    number: int
    method: str
    state: str
    value: float | None
    sd: float
    epoch: int
    params: Mapping[str, "Scalar"]
    reason: str | None = None


@final
@dataclass(frozen=True, kw_only=True)
class SearchStatus:
    """The status of a search.

    `driver` is the process that runs it, None if there is none. `seconds` is the time from its
    first trial to the end of its last one, or to now while it runs. `result` is None until the
    search has ended. `stopped` says why it ended with fewer than its `total` trials.
    """

    search: str
    methods: Sequence[str]
    dataset: str
    objective: str
    total: int
    trials: Mapping[str, int]
    failures: Mapping[str, int]
    running: Sequence[TrialStatus]
    best: Sequence[TrialStatus]
    driver: str | None
    seconds: float
    result: Mapping[str, Any] | None
    stopped: str | None = None

    @property
    def done(self) -> int:
        """Number of trials that have ended."""
        return self.trials["complete"] + self.trials["pruned"] + self.trials["failed"]

    @property
    def state(self) -> str:
        """Return `running`, `done`, or `stopped` if the search can be resumed."""
        if self.driver is not None:
            return "running"
        return "done" if self.result is not None and self.stopped is None else "stopped"

    def to_mapping(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        return {**asdict(self), "state": self.state}


def load_status(storage: str, name: str) -> SearchStatus:
    """Return the status of a search in the ledger's database."""
    with Ledger.load(storage, name) as ledger:
        return status_of(ledger)


def status_of(ledger: Ledger, *, best: int = 5) -> SearchStatus:
    """Return the status of a search with its `best` best trials."""
    trials = ledger.trials()
    usable = sorted(filter(is_usable, trials), key=lambda t: -(t.value or 0.0))
    running = [trial for trial in trials if trial.state == "RUNNING"]
    study = ledger.record["study"]
    driver, cut = _driver(ledger), ledger.ended_early
    return SearchStatus(
        search=ledger.name,
        methods=study["methods"],
        dataset=study["dataset"],
        objective=study["objective"],
        total=ledger.size if cut is None else cut.asked,
        trials={**state_counts(trials), "running": len(running)},
        failures=failure_counts(trials),
        running=[_trial_status(trial) for trial in running],
        best=[_trial_status(trial) for trial in usable[:best]],
        driver=driver,
        seconds=_duration(trials, is_running=driver is not None),
        result=ledger.attribute("result"),
        stopped=None if cut is None else cut.why,
    )


def _driver(ledger: Ledger) -> str | None:
    return Lease.driver(ledger.attribute("lease"), time.time())


def _duration(trials: "Sequence[TrialRecord]", *, is_running: bool) -> float:
    """Return the seconds from the first trial to now, or to the end of the last one."""
    started = min((t.started for t in trials if t.started), default=0.0)
    ended = max((t.ended for t in trials if t.ended is not None), default=started)
    return (time.time() if is_running else ended) - started if started else 0.0


def _trial_status(trial: "TrialRecord") -> TrialStatus:
    last_epoch = max(trial.intermediate_values, default=None)
    reported = None if last_epoch is None else trial.intermediate_values[last_epoch]
    return TrialStatus(
        number=trial.number,
        method=trial.method,
        state=trial.state,
        value=trial.value if trial.value is not None else reported,
        sd=float(trial.outcome.get("sd", 0.0)),
        epoch=int(trial.outcome.get("epoch", last_epoch or 0)),
        params=dict(trial.params),
        reason=trial.reason,
    )
