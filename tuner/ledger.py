"""The ledger: one Optuna study per search, the record of truth about every trial.

A trial is a number 0 … N−1. Whatever dies, the numbers that have no terminal state are handed out
again with the parameters they had, so that a search ends with exactly N. Parameters are stored as
`method.setting`; `method` itself is a parameter where several are searched. One driver at a time
holds a search, by a lease that it renews; every write checks the lease first.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, final

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from .errors import LeaseError, ServiceError, UsageError, did_you_mean
from .patience import SECONDS, patiently
from .redaction import redact
from .samplers import pruner, sampler

if TYPE_CHECKING:
    from .method import Scalar
    from .study import Branch, Plan

optuna.logging.set_verbosity(optuna.logging.WARNING)

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
_LEASE_SECONDS = 60.0
_RENEW_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A number to run: what it is set to, and how far an earlier attempt got."""

    number: int
    method: str
    searched: Mapping[str, "Scalar"]
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the ledger knows of one number; `outcome` is what the trial said at its end."""

    number: int
    state: State
    method: str
    searched: Mapping[str, "Scalar"]
    value: float | None
    attempt: int
    outcome: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None


def storage(url: str) -> optuna.storages.RDBStorage:
    """Open the database of the ledger, or say in one sentence that it does not answer."""
    sqlite = url.startswith("sqlite")
    # a file that another process holds is waited for; a server that is silent is not
    wait = {"timeout": 60} if sqlite else {"connect_timeout": 8}
    try:
        opened = optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": wait, "pool_pre_ping": not sqlite}
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ServiceError(
            f"the ledger {redact(url)} does not answer ({redact(reason)}): "
            "check --storage or TUNER_STORAGE"
        ) from None
    if sqlite:
        _make_sqlite_fast(opened)
    return opened


def _make_sqlite_fast(opened: optuna.storages.RDBStorage) -> None:
    """Use a write-ahead log: a write costs a tenth, and readers never wait."""

    def pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(opened.engine, "connect", pragmas)
    opened.engine.dispose()  # connections made before the listener are not asked again


def searches(url: str) -> list[str]:
    """Return the names of all searches in a ledger."""
    return sorted(optuna.get_all_study_names(storage(url)))


@final
class Ledger:
    """One search in the database; `open_search` and `reopen` make it."""

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.name = study.study_name
        self.size = int(self.record["trials"])
        self._live: dict[int, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}
        self.lease = Lease(study)

    @classmethod
    def open_search(cls, url: str, name: str, record: Mapping[str, Any]) -> "Ledger":
        """Create a search, or raise when the name is taken."""
        store = storage(url)
        if name in optuna.get_all_study_names(store):
            raise UsageError(
                f"a search named {name!r} exists: go on with `tuner resume {name}`, "
                "or choose another --name"
            )
        study = optuna.create_study(storage=store, study_name=name, direction="maximize")
        study.set_user_attr("record", dict(record))
        return cls(study)

    @classmethod
    def reopen(cls, url: str, name: str) -> "Ledger":
        """Open a search that exists, or raise with the nearest name."""
        store = storage(url)
        names = optuna.get_all_study_names(store)
        if name not in names:
            known = f"; there are: {', '.join(names[:8])}" if names else "; there is none yet"
            raise UsageError(f"no search named {name!r}{did_you_mean(name, names)}{known}")
        return cls(optuna.load_study(study_name=name, storage=store))

    @property
    def record(self) -> dict[str, Any]:
        """What the search was started with."""
        return dict(self.study.user_attrs["record"])

    def note(self, key: str, value: Any) -> None:
        """Store a fact about the whole search."""
        self.lease.check()
        patiently(lambda _: self.study.set_user_attr(key, value))

    def noted(self, key: str) -> Any:
        """Return a fact about the whole search, None where there is none."""
        return patiently(lambda _: self.study.user_attrs.get(key))

    def resize(self, trials: int) -> None:
        """Change the number of trials that the search is to end with."""
        self.note("record", {**self.record, "trials": trials})
        self.size = trials

    def start(self, plan: "Plan") -> None:
        """Take the lease and the samplers; call once before the first `ask`."""
        self.lease.acquire()
        self._plan = plan
        self.study.pruner = pruner(plan.study.scheduler, plan.passes)
        trials = self._trials()
        self._left = [t.number for t in trials if t.state == TrialState.RUNNING]

    def missing(self) -> int:
        """Return how many of the N numbers have no terminal state yet."""
        done = sum(t.state.is_finished() for t in self._trials())
        return self.size - done

    def ask(self) -> Ticket | None:
        """Return the next number to run, None when all N exist and none was left behind."""
        self.lease.check()
        return patiently(self._ask)

    def _ask(self, again: bool) -> Ticket | None:
        if again:  # a number may exist of which nothing was heard
            running = {t.number for t in self._trials() if t.state == TrialState.RUNNING}
            self.requeue(running - self._live.keys())
        if self._left:
            ticket = self._reopened(self._left[0])
            self._left.pop(0)
            return ticket
        number = sum(t.state != TrialState.WAITING for t in self._trials())
        if number >= self.size:
            return None
        self.study.sampler = sampler(self._plan, number)
        self._enqueue_preset(number)
        return self._ticket(self.study.ask(), attempt=0)

    def requeue(self, numbers: Iterable[int]) -> None:
        """Hand numbers out again that no one is running any more."""
        self._left = sorted({*self._left, *numbers})

    def report(self, number: int, step: int, value: float) -> bool:
        """Store an intermediate value; return whether the trial should stop here."""
        self.lease.check()
        trial = self._live[number]
        if step in self._reported[number]:
            return False  # an earlier attempt has been here, and went on
        self._reported[number].add(step)
        patiently(lambda _: trial.report(value, step))
        return patiently(lambda _: bool(trial.should_prune()))

    def tell(
        self, number: int, state: State, *, value: float | None, outcome: Mapping[str, Any]
    ) -> None:
        """Give a number its terminal state: COMPLETE with a value, PRUNED, or FAIL."""
        self.lease.check()
        trial = self._live.pop(number)
        final_value = value if state == "COMPLETE" else None

        def tell(again: bool) -> None:
            if again and self._trials()[number].state.is_finished():
                return
            trial.set_user_attr("outcome", dict(outcome))
            self.study.tell(trial, final_value, state=TrialState[state])

        patiently(tell)

    def entries(self) -> list[Entry]:
        """Return all numbers in order."""
        return [_entry(trial) for trial in self._trials()]

    def entry(self, number: int) -> Entry:
        """Return one number."""
        return _entry(self._trials()[number])

    def close(self) -> None:
        """Give the lease back."""
        self.lease.release()

    def _trials(self) -> list[FrozenTrial]:
        return patiently(lambda _: self.study.get_trials(deepcopy=False))

    def _reopened(self, number: int) -> Ticket:
        frozen = self._trials()[number]
        self.study.sampler = sampler(self._plan, number)
        trial = optuna.Trial(self.study, frozen._trial_id)
        attempt = int(frozen.user_attrs.get("attempt", 0)) + 1
        trial.set_user_attr("attempt", attempt)
        self._reported[number] = set(frozen.intermediate_values)
        return self._ticket(trial, attempt=attempt)

    def _enqueue_preset(self, number: int) -> None:
        presets = [
            (branch.method, preset)
            for branch in self._plan.branches.values()
            for preset in branch.presets
        ]
        if number >= len(presets) or any(
            t.state == TrialState.WAITING for t in self._trials()[number:]
        ):
            return
        method, settings = presets[number]
        params: dict[str, Any] = {f"{method}.{key}": value for key, value in settings.items()}
        if len(self._plan.branches) > 1:
            params["method"] = method
        self.study.enqueue_trial(params)

    def _ticket(self, trial: optuna.Trial, *, attempt: int) -> Ticket:
        names = list(self._plan.branches)
        method = names[0]
        if len(names) > 1:
            method = trial.suggest_categorical("method", names)
        searched = _suggest(trial, self._plan.branches[method])
        self._live[trial.number] = trial
        self._reported.setdefault(trial.number, set())
        return Ticket(number=trial.number, method=method, searched=searched, attempt=attempt)


def _suggest(trial: optuna.Trial, branch: "Branch") -> dict[str, "Scalar"]:
    """Walk the space, parents first; a setting whose conditions fail keeps its base value."""
    settings = dict(branch.base)
    searched: dict[str, Scalar] = {}
    for name, parameter in branch.space.parameters.items():
        if not parameter.applies(settings):
            continue
        key = f"{branch.method}.{name}"
        value = parameter.suggest(trial, key)
        settings[name] = searched[name] = value
    return searched


def _entry(trial: FrozenTrial) -> Entry:
    params = dict(trial.params)
    method = params.pop("method", None)
    if method is None:
        method = next(iter(params)).split(".")[0] if params else ""
    state = trial.state.name
    return Entry(
        number=trial.number,
        state=cast(State, "RUNNING" if state == "WAITING" else state),
        method=str(method),
        searched={key.split(".", 1)[1]: value for key, value in params.items()},
        value=trial.value if state == "COMPLETE" else None,
        attempt=int(trial.user_attrs.get("attempt", 0)),
        outcome=trial.user_attrs.get("outcome", {}),
        curve=trial.intermediate_values,
        started=trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )


@final
class Lease:
    """Who drives a search: owner, count of takeovers and expiry, in the study's attributes."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._expires = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lease, or raise naming who holds it; renew it in the background."""
        if self._thread is not None:
            return
        held = self._read()
        if held is not None and held["expires"] > time.time() and not _is_dead(held["owner"]):
            age = time.time() - held["since"]
            raise LeaseError(
                f"search {self._study.study_name!r} is driven by {held['owner']} "
                f"since {age:.0f} s: wait for it, or stop it and try again in "
                f"{held['expires'] - time.time():.0f} s"
            )
        self._since = time.time()
        self._write()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise when another driver has taken over; ask the database only past the expiry."""
        if self._thread is None or time.time() < self._expires:
            return
        held = self._read()
        if held is None or held["owner"] != self.owner:
            raise LeaseError(
                f"another driver took over search {self._study.study_name!r} while this one "
                "was not answering: leave it to that one"
            )
        self._write()

    def release(self) -> None:
        """Stop renewing and let the next driver in at once."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(_RENEW_SECONDS)
        self._thread = None
        with contextlib.suppress(ServiceError):  # without a database, it ends by itself
            held = self._read(seconds=0.0)
            if held is not None and held["owner"] == self.owner:
                patiently(lambda _: self._study.set_user_attr("lease", None), seconds=0.0)

    def _read(self, *, seconds: float = SECONDS) -> dict[str, Any] | None:
        held: dict[str, Any] | None = patiently(
            lambda _: self._study.user_attrs.get("lease"), seconds=seconds
        )
        return held

    def _write(self) -> None:
        expires = time.time() + _LEASE_SECONDS
        lease = {"owner": self.owner, "since": self._since, "expires": expires}
        patiently(lambda _: self._study.set_user_attr("lease", lease))
        self._expires = expires

    def _renew(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS):
            try:
                held = self._read()
                if held is None or held["owner"] != self.owner:
                    self._expires = 0.0  # the next write finds out and raises
                    return
                self._write()
            except ServiceError:
                continue  # whoever writes next has the same trouble, and says so


def _is_dead(owner: str) -> bool:
    """Return whether a driver of this machine is gone; of another machine only time can tell."""
    host, process, _ = owner.rsplit(":", 2)
    return host == socket.gethostname() and not psutil.pid_exists(int(process))
