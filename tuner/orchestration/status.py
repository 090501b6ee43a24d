"""What the ledger alone says about searches, also while they run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

from ..errors import UsageError
from ..redaction import redact
from ..sqlite import database_file

if TYPE_CHECKING:
    from ..ledger.ledger import Entry, Ledger
    from ..methods.contract import Scalar


@final
@dataclass(frozen=True, kw_only=True)
class Standing:
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
class Overview:
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
    running: Sequence[Standing]
    best: Sequence[Standing]
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


def names(storage: str) -> list[str]:
    """Return the names of all searches; a ledger that is not there yet has none."""
    _check(storage)
    path = database_file(storage)
    if path is not None and not path.is_file():
        return []
    from ..ledger.ledger import searches

    return searches(storage)


def opened(name: str, storage: str) -> "Ledger":
    """Return a search that exists; reading creates no database."""
    _check(storage)
    path = database_file(storage)
    if path is not None and not path.is_file():
        raise UsageError(
            f"no search named {name!r}: there is no ledger {path}: go to the folder of the "
            "search, or name its ledger with --storage or TUNER_STORAGE"
        )
    from ..ledger.ledger import Ledger

    return Ledger.reopen(storage, name)


def overview(ledger: "Ledger", *, best: int = 5) -> Overview:
    """Return a search as it stands."""
    entries = ledger.entries()
    states = Counter(entry.state for entry in entries)
    usable = [e for e in entries if e.value is not None and e.outcome.get("reason") is None]
    study = ledger.record["study"]
    driver = _driver(ledger)
    started = min((e.started for e in entries if e.started), default=0.0)
    ended = max((e.ended for e in entries if e.ended is not None), default=started)
    return Overview(
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
        running=[_standing(e) for e in entries if e.state == "RUNNING"],
        best=[_standing(e) for e in sorted(usable, key=lambda e: -(e.value or 0.0))[:best]],
        driver=driver,
        seconds=(ended if driver is None else time.time()) - started if started else 0.0,
        result=ledger.noted("result"),
    )


def _check(storage: str) -> None:
    if "://" not in storage:
        raise UsageError(
            f"--storage {redact(storage)!r} is no database URL: write "
            "sqlite:////absolute/file.db or postgresql+psycopg://user@host/database"
        )


def _driver(ledger: "Ledger") -> str | None:
    lease = ledger.noted("lease")
    if lease is None or lease["expires"] < time.time():
        return None
    return str(lease["owner"])


def _standing(entry: "Entry") -> Standing:
    last = max(entry.curve, default=None)
    seen = None if last is None else entry.curve[last]
    return Standing(
        number=entry.number,
        method=entry.method,
        state=entry.state,
        value=entry.value if entry.value is not None else seen,
        sd=float(entry.outcome.get("sd", 0.0)),
        epoch=int(entry.outcome.get("epoch", last or 0)),
        params=dict(entry.searched),
        reason=entry.outcome.get("reason"),
    )


def _reason(entry: "Entry") -> str:
    return str(entry.outcome.get("reason") or "unknown").split(":")[0]
