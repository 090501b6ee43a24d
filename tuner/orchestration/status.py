"""What the ledger alone says about searches, also while they run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..ledger.records import TrialRecord
    from ..methods.config import Scalar


@final
@dataclass(frozen=True, kw_only=True)
class TrialStatus:
    """One trial as it stands: `epoch` passes over the data so far, `value` the last one seen."""

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
    """A search as the ledger has it.

    `driver` runs it at this moment, None where no one does; `seconds` are from its first trial to
    its last write, or to now while it runs. `result` is what a search that has ended found.
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

    @property
    def done(self) -> int:
        """Trials that have ended."""
        return self.trials["complete"] + self.trials["pruned"] + self.trials["failed"]

    @property
    def state(self) -> str:
        """Return `running`, `done`, or `stopped` where it can be resumed."""
        if self.driver is not None:
            return "running"
        return "stopped" if self.result is None else "done"

    def to_mapping(self) -> dict[str, Any]:
        """Return the overview as JSON values."""
        return {**asdict(self), "state": self.state}


def status_of(ledger: "Ledger", *, best: int = 5) -> SearchStatus:
    """Return a search as it stands."""
    entries = ledger.trials()
    states = Counter(entry.state for entry in entries)
    usable = [e for e in entries if e.value is not None and e.outcome.get("reason") is None]
    study = ledger.record["study"]
    driver = _driver(ledger)
    started = min((e.started for e in entries if e.started), default=0.0)
    ended = max((e.ended for e in entries if e.ended is not None), default=started)
    return SearchStatus(
        search=ledger.name,
        methods=study["methods"],
        dataset=study["dataset"],
        objective=study["objective"],
        total=ledger.size,
        trials={
            "total": len(entries),
            "complete": states["COMPLETE"],
            "pruned": states["PRUNED"],
            "failed": states["FAIL"],
            "running": states["RUNNING"],
        },
        failures=Counter(_reason(e) for e in entries if e.state == "FAIL"),
        running=[_trial_status(e) for e in entries if e.state == "RUNNING"],
        best=[_trial_status(e) for e in sorted(usable, key=lambda e: -(e.value or 0.0))[:best]],
        driver=driver,
        seconds=(ended if driver is None else time.time()) - started if started else 0.0,
        result=ledger.attribute("result"),
    )


def _driver(ledger: "Ledger") -> str | None:
    lease = ledger.attribute("lease")
    if lease is None or lease["expires"] < time.time():
        return None
    return str(lease["owner"])


def _trial_status(entry: "TrialRecord") -> TrialStatus:
    last = max(entry.intermediate_values, default=None)
    seen = None if last is None else entry.intermediate_values[last]
    return TrialStatus(
        number=entry.number,
        method=entry.method,
        state=entry.state,
        value=entry.value if entry.value is not None else seen,
        sd=float(entry.outcome.get("sd", 0.0)),
        epoch=int(entry.outcome.get("epoch", last or 0)),
        params=dict(entry.params),
        reason=entry.outcome.get("reason"),
    )


def _reason(entry: "TrialRecord") -> str:
    return str(entry.outcome.get("reason") or "unknown").split(":")[0]
