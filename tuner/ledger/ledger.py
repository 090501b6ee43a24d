"""The ledger: one Optuna study per search, the source of truth about every trial.

A search has trials 0 … N - 1. If any process dies, trials without a terminal state are run again
with the same parameters, so that a search ends with exactly N. Parameters are stored as
`method.setting`; where several methods are searched, `method` is a parameter as well. One driver
at a time holds the lease on a search, and every write checks it first.

Since there is one writer, samplers and pruners work on a copy of the study in memory: the database
is read when the search is opened and when its lease is taken, and only written from then on. A new
trial is written together with its parameters, in one transaction.
"""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ..errors import LeaseError, ServiceError
from ..study.record import upgraded
from .attributes import insert_attribute
from .failures import told
from .labels import note_attributes, trial_labels
from .lease import Lease
from .proposals import preset_params, propose
from .pruners import pruner
from .records import Cut, State, Suggestion, TrialRecord, trial_record
from .retry import retried
from .samplers import MOST_SEEN, excerpt, sampler
from .storage import (
    RECORD,
    described,
    name_taken,
    open_search,
    open_storage,
)

if TYPE_CHECKING:
    from ..study.plan import Plan

optuna.logging.set_verbosity(optuna.logging.WARNING)

_STOPPED = "stopped"
_CUT = "cut"
T = TypeVar("T")
OptunaStudy = optuna.Study


def optuna_study(url: str, name: str) -> OptunaStudy:
    """Return the Optuna study of a search, for reading."""
    return optuna.load_study(study_name=name, storage=open_search(url, name))


def _name_value(study: OptunaStudy, record: Mapping[str, Any]) -> None:
    """Tell Optuna's own tools what the value of a trial is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([str(record.get("study", {}).get("objective", "value"))])


@final
class Ledger:
    """One search in the database; `create` begins one and `load` opens one."""

    def __init__(self, storage: optuna.storages.RDBStorage, name: str) -> None:
        self.name = name
        self._storage = storage
        self._described = described(storage)
        self._study_id = storage.get_study_id_from_name(name)
        self.lease = Lease(storage.engine, self._study_id, name)
        record = self.record
        self.size = int(record["trials"])
        self._only_method = str(record.get("study", {}).get("methods", [""])[0])
        self._unfinished: list[int] = []
        self._lost: ServiceError | None = None
        self._load()

    @classmethod
    def create(cls, url: str, name: str, record: Mapping[str, Any]) -> "Ledger":
        """Create a search; raise NameTakenError where there is one with this name.

        Of two processes that create the same one, only one succeeds.
        """
        storage = open_storage(url)
        with told(described(storage)):
            study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
            # a study without a record was never started
            if not insert_attribute(storage.engine, study._study_id, RECORD, dict(record)):
                raise name_taken(name)
            _name_value(study, record)
        return cls(storage, name)

    @classmethod
    def load(cls, url: str, name: str) -> "Ledger":
        """Open an existing search; raise UsageError with the nearest name where there is none."""
        return cls(open_search(url, name), name)

    @property
    def record(self) -> dict[str, Any]:
        """What the search was started with, as this version would have written it."""
        return upgraded(self.attribute(RECORD))

    def set_attribute(self, key: str, value: Any) -> None:
        """Store an attribute of the whole search."""
        self._write(lambda _: self._storage.set_study_user_attr(self._study_id, key, value))

    def attribute(self, key: str) -> Any:
        """Return an attribute of the whole search, None where it is not set."""
        with self._told():
            stored = retried(lambda _: self._storage.get_study_user_attrs(self._study_id))
        return stored.get(key)

    def annotate(self, text: str, *, replace: bool) -> None:
        """Set the note that optuna-dashboard shows, unless somebody has edited it.

        Without `replace`, only a search without a note gets one.
        """
        with self._told():
            stored = retried(lambda _: self._storage.get_study_system_attrs(self._study_id))
        for key, value in note_attributes(text, stored, replace=replace).items():
            self._write(partial(self._set_study_attribute, key, value))

    def resize(self, trials: int) -> None:
        """Change the number of trials N."""
        self._set_size(trials)
        self.set_attribute(_CUT, None)

    def cut(self, trials: int, *, why: str) -> None:
        """End the search with fewer trials than were asked for, which it remembers with why."""
        # in this order, a kill in between is one before the end
        self.set_attribute(_CUT, Cut(asked=self.size, why=why)._asdict())
        self._set_size(trials)

    @property
    def ended_early(self) -> Cut | None:
        """How many trials were asked for, and why it ended with fewer; None if it did not."""
        stored = self.attribute(_CUT)
        return None if stored is None or stored["asked"] <= self.size else Cut(**stored)

    def _set_size(self, trials: int) -> None:
        self.set_attribute(RECORD, {**self.record, "trials": trials})
        self.size = trials

    def start(self, plan: "Plan") -> None:
        """Take the lease and set up sampler and pruner; call once before the first `ask`."""
        self.acquire_lease()
        self._load()  # another driver may have written since this search was opened
        self._plan = plan
        self.study.pruner = pruner(plan)
        self._unfinished = [t.number for t in self.trials() if t.state == "RUNNING"]

    def remaining(self) -> int:
        """Return how many of the N trials have no terminal state yet."""
        return self.size - sum(trial.state.is_finished() for trial in self._trials())

    def ask(self, *, unfinished_only: bool = False) -> Suggestion | None:
        """Return the next trial to run: unfinished ones first, then new ones up to N.

        Returns None if there is none. `unfinished_only` creates no new trials.
        """
        self.check_lease()
        if self._unfinished:
            return self._resumed(self._unfinished.pop(0))
        number = len(self._trials())
        if unfinished_only or number >= self.size:
            return None
        suggestion = self._suggestion(self._asked(number), attempt=0)
        settings = {**self._plan.branches[suggestion.method].base, **suggestion.params}
        for key, value in trial_labels(suggestion.method, settings).items():
            self._memory.set_trial_user_attr(number, key, value)
        self._write_new_trial(number)
        return suggestion

    def requeue(self, numbers: Iterable[int]) -> None:
        """Make `ask` return these trials again, because they are no longer running."""
        self._unfinished = sorted({*self._unfinished, *numbers})

    def report(self, number: int, step: int, value: float, *, final: bool = False) -> bool:
        """Store an intermediate value; return whether the trial should be stopped.

        A `final` value, the last of its trial, counts for the pruner but never stops the trial.
        """
        if not math.isfinite(value):
            return False
        trial, frozen = self._running[number], self._memory.get_trial(number)
        known = frozen.intermediate_values
        if step in known and step < max(known):
            return False  # an earlier attempt reported this step and continued
        if step not in known:
            trial_id = self._ids[number]
            self._write(
                lambda _: self._storage.set_trial_intermediate_value(trial_id, step, value)
            )
            trial.report(value, step)
        stop = trial.should_prune() and not final
        stopped = step == frozen.user_attrs.get(_STOPPED)
        if stop and not stopped:
            # before the pruner's attributes: with those stored, it would not stop the trial again
            self._set_trial_attribute(number, _STOPPED, step)
        self._write_pruner_attributes(number)
        return stop or stopped

    def tell(
        self, number: int, state: State, *, value: float | None, outcome: Mapping[str, Any]
    ) -> None:
        """Give a trial its terminal state: COMPLETE with a value, PRUNED or FAIL."""
        if state == "COMPLETE" and (value is None or not math.isfinite(value)):
            raise ValueError(
                f"trial {number} cannot be COMPLETE with value {value}: give a finite number"
            )
        stored = json.loads(json.dumps(outcome, allow_nan=False))
        reported = self._memory.get_trial(number).intermediate_values
        final_value = value if state == "COMPLETE" else None
        if state == "PRUNED" and reported:
            final_value = reported[max(reported)]
        values = [] if final_value is None else [final_value]
        ended, trial_id = TrialState[state], self._ids[number]

        def end(retrying: bool) -> None:
            if retrying and self._storage.get_trial(trial_id).state.is_finished():
                return  # the first attempt succeeded and only its answer was lost
            # attributes first, since a trial that has ended takes none
            self._storage.set_trial_user_attr(trial_id, "outcome", stored)
            self._storage.set_trial_state_values(trial_id, ended, values or None)

        self._write(end)
        self._memory.set_trial_user_attr(number, "outcome", stored)
        self._memory.set_trial_state_values(number, ended, values or None)
        self._running.pop(number, None)

    def trials(self) -> list[TrialRecord]:
        """Return all trials in order of their number."""
        return [trial_record(t, only_method=self._only_method) for t in self._trials()]

    def trial(self, number: int) -> TrialRecord:
        """Return one trial."""
        frozen = self._memory.get_trial(number)
        return trial_record(frozen, only_method=self._only_method)

    def close(self) -> None:
        """Release the lease and the connections to the database."""
        self.lease.release()
        self._storage.engine.dispose()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> None:
        """Copy the study into memory, where the id of a trial is its number."""
        memory = self._memory = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            storage=memory, study_name=self.name, direction="maximize"
        )
        with self._told():
            trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
            self._study_attributes = self._storage.get_study_system_attrs(self._study_id)
        for trial in trials:
            memory.create_new_trial(self.study._study_id, template_trial=trial)
        self._ids = [trial._trial_id for trial in trials]
        self._written_attributes = {t.number: set(t.system_attrs) for t in trials}
        for key, value in self._study_attributes.items():
            memory.set_study_system_attr(self.study._study_id, key, value)
        self._running: dict[int, optuna.Trial] = {}

    def _told(self) -> AbstractContextManager[None]:
        return told(self._described, search=self.name)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def check_lease(self) -> None:
        """Raise LeaseError if another driver took over, and ServiceError without an answer."""
        with self._told():
            self.lease.check()

    def acquire_lease(self) -> None:
        """Take the lease, or raise LeaseError naming its owner."""
        with self._told():
            self.lease.acquire()

    def _write(self, write: Callable[[bool], T]) -> T:
        """Write as the holder of the lease, with retries while the database is unreachable.

        Once these were in vain, further writes fail at once.
        """
        if self._lost is not None:
            raise self._lost
        try:
            self.check_lease()
            with self._told():
                return retried(write)
        except UpdateFinishedTrialError:
            raise LeaseError(
                "another driver has ended a trial that this driver was running in search "
                f"{self.name!r}: let the other driver finish the search"
            ) from None
        except ServiceError as error:
            self._lost = error
            raise

    def _set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        trial_id = self._ids[number]
        self._write(lambda _: self._storage.set_trial_user_attr(trial_id, key, value))
        self._memory.set_trial_user_attr(number, key, value)

    def _write_new_trial(self, number: int) -> None:
        """Write a new trial, and first what the sampler noted in the study's attributes."""
        attributes = self._memory.get_study_system_attrs(self.study._study_id)
        for key, value in attributes.items():
            if key not in self._study_attributes or self._study_attributes[key] != value:
                self._write(partial(self._set_study_attribute, key, value))
        self._study_attributes = dict(attributes)
        trial = self._memory.get_trial(number)

        def create(retrying: bool) -> int:
            written = (
                self._storage.get_all_trials(self._study_id, deepcopy=False) if retrying else []
            )
            if len(written) > number:
                # the first attempt succeeded and only its answer was lost
                return written[number]._trial_id
            return self._storage.create_new_trial(self._study_id, template_trial=trial)

        self._ids.append(self._write(create))
        self._written_attributes[number] = set(trial.system_attrs)

    def _set_study_attribute(self, key: str, value: Any, _: bool) -> None:
        self._storage.set_study_system_attr(self._study_id, key, value)

    def _write_pruner_attributes(self, number: int) -> None:
        """Write the system attributes that the pruner has added to a trial."""
        attributes = self._memory.get_trial(number).system_attrs
        for key in sorted(attributes.keys() - self._written_attributes[number]):
            self._write(partial(self._set_pruner_attribute, number, key, attributes[key]))
        self._written_attributes[number] |= attributes.keys()

    def _set_pruner_attribute(self, number: int, key: str, value: Any, _: bool) -> None:
        self._storage.set_trial_system_attr(self._ids[number], key, value)

    def _asked(self, number: int) -> optuna.Trial:
        """Return a new trial from the sampler, which may look at an excerpt of a long search."""
        if (preset := preset_params(self._plan, number)) is not None:
            self.study.enqueue_trial(preset)
        seen = excerpt(self.study, MOST_SEEN.get(self._plan.study.sampler))
        seen.sampler = sampler(self._plan, number)
        trial = seen.ask()
        if seen is self.study:
            return trial
        propose(trial, self._plan)
        (*_, drawn) = seen.get_trials(deepcopy=False)
        self._memory.create_new_trial(self.study._study_id, template_trial=drawn)
        return self._existing(number)

    def _resumed(self, number: int) -> Suggestion:
        attempt = int(self._memory.get_trial(number).user_attrs.get("attempt", 0)) + 1
        self._set_trial_attribute(number, "attempt", attempt)
        return self._suggestion(self._existing(number), attempt=attempt)

    def _existing(self, number: int) -> optuna.Trial:
        # its parameters exist already, so no sampler will be asked
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)
        return optuna.Trial(self.study, number)

    def _suggestion(self, trial: optuna.Trial, *, attempt: int) -> Suggestion:
        method, params = propose(trial, self._plan)
        self._running[trial.number] = trial
        return Suggestion(number=trial.number, method=method, params=params, attempt=attempt)
