"""The ledger: one Optuna study per search, the record of truth about every trial.

A trial is a number 0 … N−1. Whatever dies, the numbers that have no terminal state are handed out
again with the parameters they had, so that a search ends with exactly N. Parameters are stored as
`method.setting`; `method` itself is a parameter where several are searched. One driver at a time
holds a search, by a lease that it renews; every write checks the lease first.

As there is one writer, samplers and pruners work on a copy in memory: the database is read once,
when the search is opened and taken, and then only written. A number appears in it with all its
parameters at once.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, final

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..errors import LeaseError, ServiceError
from ..redaction import redact
from .lease import Lease
from .retry import retried
from .samplers import pruner, sampler
from .storage import (
    RECORD,
    check_exists,
    name_taken,
    names_in,
    open_storage,
    unknown_search,
)
from .trial_writer import TrialWriter

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..study.study import Branch, Plan

optuna.logging.set_verbosity(optuna.logging.WARNING)

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
_STOPPED = "stopped"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A number to run: what it is set to, and how far an earlier attempt got."""

    number: int
    method: str
    params: Mapping[str, "Scalar"]
    attempt: int


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger knows of one number; `outcome` is what the trial said at its end."""

    number: int
    state: State
    method: str
    params: Mapping[str, "Scalar"]
    value: float | None
    attempt: int
    outcome: Mapping[str, Any] = field(default_factory=dict)
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None


@final
class Ledger:
    """One search in the database; `open_search` and `reopen` make it."""

    def __init__(self, store: optuna.storages.RDBStorage, name: str) -> None:
        self.name = name
        self._store = store
        self._study_id = store.get_study_id_from_name(name)
        self._rows = TrialWriter(store.engine, self._study_id)
        self.lease = Lease(store.engine, self._study_id, name)
        record = self.record
        self.size = int(record["trials"])
        self._only = str(record.get("study", {}).get("methods", [""])[0])
        self._left: list[int] = []
        self._load()

    @classmethod
    def create(cls, url: str, name: str, record: Mapping[str, Any]) -> "Ledger":
        """Create a search, or raise when the name is taken."""
        store = open_storage(url)
        if name in names_in(store):
            raise name_taken(name)
        study = optuna.create_study(
            storage=store, study_name=name, direction="maximize", load_if_exists=True
        )
        study.set_user_attr(RECORD, dict(record))
        return cls(store, name)

    @classmethod
    def load(cls, url: str, name: str) -> "Ledger":
        """Open a search that exists, or raise with the nearest name; no database is created."""
        check_exists(url, name)
        store = open_storage(url)
        names = names_in(store)
        if name not in names:
            raise unknown_search(name, names)
        return cls(store, name)

    @property
    def record(self) -> dict[str, Any]:
        """What the search was started with."""
        return dict(self.attribute(RECORD))

    def set_attribute(self, key: str, value: Any) -> None:
        """Store a fact about the whole search."""
        self._write(lambda _: self._store.set_study_user_attr(self._study_id, key, value))

    def attribute(self, key: str) -> Any:
        """Return a fact about the whole search, None where there is none."""
        return retried(lambda _: self._store.get_study_user_attrs(self._study_id)).get(key)

    def resize(self, trials: int) -> None:
        """Change the number of trials that the search is to end with."""
        self.set_attribute(RECORD, {**self.record, "trials": trials})
        self.size = trials

    def start(self, plan: "Plan") -> None:
        """Take the lease and the samplers; call once before the first `ask`."""
        self.lease.acquire()
        self._load()  # another driver may have written since this one looked
        self._plan = plan
        self.study.pruner = pruner(plan.study.scheduler, plan.passes)
        self._left = [e.number for e in self.trials() if e.state == "RUNNING"]

    def remaining(self) -> int:
        """Return how many of the N numbers have no terminal state yet."""
        return self.size - sum(trial.state.is_finished() for trial in self._trials())

    def ask(self, *, left_behind: bool = False) -> Suggestion | None:
        """Return the next number to run, None when all N exist and none was left behind.

        With `left_behind` no new number comes to be.
        """
        self.lease.check()
        if self._left:
            return self._reopened(self._left.pop(0))
        number = len(self._trials())
        if left_behind or number >= self.size:
            return None
        self.study.sampler = sampler(self._plan, number)
        self._enqueue_preset(number)
        suggestion = self._suggestion(self.study.ask(), attempt=0)
        self._publish(number)
        return suggestion

    def requeue(self, numbers: Iterable[int]) -> None:
        """Hand numbers out again that no one is running any more."""
        self._left = sorted({*self._left, *numbers})

    def report(self, number: int, step: int, value: float, *, final: bool = False) -> bool:
        """Store an intermediate value; return whether the trial should stop here.

        A `final` one takes its place on the rungs, but has nowhere to stop any more.
        """
        if not math.isfinite(value):
            return False
        trial, before = self._live[number], self._memory.get_trial(number)
        known = before.intermediate_values
        if step in known and step < max(known):
            return False  # an earlier attempt has been here, and went on
        if step not in known:
            self._write(lambda _: self._rows.report(self._ids[number], step, value))
            trial.report(value, step)
        stop = trial.should_prune() and not final
        stopped = step == before.user_attrs.get(_STOPPED)
        if stop and not stopped:  # before the rung is stored, which lets the trial off next time
            self._attribute(number, _STOPPED, step)
        self._publish_attributes(number)
        return stop or stopped

    def tell(
        self, number: int, state: State, *, value: float | None, outcome: Mapping[str, Any]
    ) -> None:
        """Give a number its terminal state: COMPLETE with a value, PRUNED, or FAIL."""
        if state == "COMPLETE" and (value is None or not math.isfinite(value)):
            raise ValueError(f"trial {number} is COMPLETE with {value}: it needs a number")
        said = {"outcome": json.loads(json.dumps(outcome, allow_nan=False))}
        curve = self._memory.get_trial(number).intermediate_values
        final_value = value if state == "COMPLETE" else None
        if state == "PRUNED" and curve:
            final_value = curve[max(curve)]
        values = [] if final_value is None else [final_value]
        ended = TrialState[state]

        def end(again: bool) -> None:
            if again and self._store.get_trial(self._ids[number]).state.is_finished():
                return  # it had arrived, and only the answer was lost
            self._rows.end(self._ids[number], ended, values, said)

        self._write(end)
        self._memory.set_trial_user_attr(number, "outcome", said["outcome"])
        self._memory.set_trial_state_values(number, ended, values or None)
        self._live.pop(number, None)

    def trials(self) -> list[TrialRecord]:
        """Return all numbers in order."""
        return [_entry(trial, self._only) for trial in self._trials()]

    def trial(self, number: int) -> TrialRecord:
        """Return one number."""
        return _entry(self._memory.get_trial(number), self._only)

    def close(self) -> None:
        """Give the lease back."""
        self.lease.release()

    def _load(self) -> None:
        """Copy the search from the database; a trial's id in memory is its number."""
        memory = self._memory = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            storage=memory, study_name=self.name, direction="maximize"
        )
        trials = self._store.get_all_trials(self._study_id, deepcopy=False)
        for trial in trials:
            memory.create_new_trial(self.study._study_id, template_trial=trial)
        self._ids = [trial._trial_id for trial in trials]
        self._published = {t.number: set(t.system_attrs) for t in trials}
        self._facts = self._store.get_study_system_attrs(self._study_id)
        for key, value in self._facts.items():
            memory.set_study_system_attr(self.study._study_id, key, value)
        self._live: dict[int, optuna.Trial] = {}

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _write(self, write: Callable[[bool], T]) -> T:
        """Write to the database as the holder of the lease, again where it was away."""
        self.lease.check()
        try:
            return retried(write)
        except UpdateFinishedTrialError:
            raise LeaseError(
                f"another driver has ended a trial of search {self.name!r} that this one is "
                "running: leave the search to that one"
            ) from None
        except (StorageInternalError, SQLAlchemyError) as error:
            raise ServiceError(
                f"the ledger of {self.name!r} does not answer ({_cause(error)}): once it does, "
                f"go on with `tuner resume {self.name}`"
            ) from None

    def _attribute(self, number: int, key: str, value: Any) -> None:
        self._write(lambda _: self._rows.attribute("user", self._ids[number], key, value))
        self._memory.set_trial_user_attr(number, key, value)

    def _publish(self, number: int) -> None:
        """Write a new number to the database, whole."""
        facts = self._memory.get_study_system_attrs(self.study._study_id)
        for key, value in facts.items():
            if key not in self._facts or self._facts[key] != value:
                self._write(partial(self._set_fact, key, value))
        self._facts = dict(facts)
        trial = self._memory.get_trial(number)

        def create(again: bool) -> int:
            known = self._store.get_all_trials(self._study_id, deepcopy=False) if again else []
            if len(known) > number:
                return known[number]._trial_id  # it had arrived, and only the answer was lost
            return self._rows.create(trial)

        self._ids.append(self._write(create))
        self._published[number] = set(trial.system_attrs)

    def _set_fact(self, key: str, value: Any, _: bool) -> None:
        self._store.set_study_system_attr(self._study_id, key, value)

    def _publish_attributes(self, number: int) -> None:
        """Write what a pruner has noted of a trial since."""
        attributes = self._memory.get_trial(number).system_attrs
        for key in sorted(attributes.keys() - self._published[number]):
            self._write(partial(self._note_attribute, number, key, attributes[key]))
        self._published[number] |= attributes.keys()

    def _note_attribute(self, number: int, key: str, value: Any, _: bool) -> None:
        self._rows.attribute("system", self._ids[number], key, value)

    def _reopened(self, number: int) -> Suggestion:
        # all parameters are there, so no sampler is asked
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)
        attempt = int(self._memory.get_trial(number).user_attrs.get("attempt", 0)) + 1
        self._attribute(number, "attempt", attempt)
        return self._suggestion(optuna.Trial(self.study, number), attempt=attempt)

    def _enqueue_preset(self, number: int) -> None:
        presets = [
            (branch.method, preset)
            for branch in self._plan.branches.values()
            for preset in branch.presets
        ]
        if number >= len(presets):
            return
        method, settings = presets[number]
        params: dict[str, Any] = {f"{method}.{key}": value for key, value in settings.items()}
        if len(self._plan.branches) > 1:
            params["method"] = method
        self.study.enqueue_trial(params)

    def _suggestion(self, trial: optuna.Trial, *, attempt: int) -> Suggestion:
        names = list(self._plan.branches)
        method = names[0]
        if len(names) > 1:
            method = trial.suggest_categorical("method", names)
        params = _suggest(trial, self._plan.branches[method])
        self._live[trial.number] = trial
        return Suggestion(number=trial.number, method=method, params=params, attempt=attempt)


def _cause(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error.__cause__ or error).strip()
    return redact(text.splitlines()[0]) if text else type(error).__name__


def _suggest(trial: optuna.Trial, branch: "Branch") -> dict[str, "Scalar"]:
    """Walk the space, parents first; a setting whose conditions fail keeps its base value."""
    settings = dict(branch.base)
    params: dict[str, Scalar] = {}
    for name, parameter in branch.space.parameters.items():
        if not parameter.applies(settings):
            continue
        key = f"{branch.method}.{name}"
        value = parameter.suggest(trial, key)
        settings[name] = params[name] = value
    return params


def _entry(trial: FrozenTrial, only: str) -> TrialRecord:
    params = dict(trial.params)
    state = trial.state.name
    return TrialRecord(
        number=trial.number,
        state=cast(State, "RUNNING" if state == "WAITING" else state),
        method=str(params.pop("method", only)),
        params={key.split(".", 1)[1]: value for key, value in params.items()},
        value=trial.value if state == "COMPLETE" else None,
        attempt=int(trial.user_attrs.get("attempt", 0)),
        outcome=trial.user_attrs.get("outcome", {}),
        intermediate_values=trial.intermediate_values,
        started=trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )
