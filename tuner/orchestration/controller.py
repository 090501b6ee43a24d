"""Assigns the trials of a search, receives their evaluations and records their outcomes.

Every outcome goes to the ledger first, then to MLflow. Knows neither Ray nor the terminal.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from ..execution.trial_controller import TrialController
from ..ledger.ledger import Ledger
from ..ledger.records import State, Suggestion
from ..study.seeds import trial_seeds
from ..tracking.records import made_by, plan_tags, trial_run_record
from ..training.evaluations import Evaluation, read_evaluations
from ..training.places import Place, place
from ..training.pretraining_cache import CACHE_FOLDER
from ..training.trial_inputs import TrialSpec
from .failures import FailureCount
from .locations import trial_folder
from .snapshot import ProgressCallback, SearchSnapshot, TrialCallback, TrialRow
from .stages import finals_of, passes_of
from .time_left import Mark, pace_ahead, pace_of

if TYPE_CHECKING:
    from ..study.plan import Plan
    from ..tracking import Tracker

_RETRIES = {"timeout": 1, "oom": 2, "worker_lost": 2}
_LOG_SECONDS = 5.0


@dataclass
class _RunningTrial:
    spec: TrialSpec
    evaluations: list[Evaluation] = field(default_factory=list)
    logged_at: float = -math.inf
    is_resumed: bool = False
    is_whole: bool = True  # or an earlier attempt made some of the passes, in unknown seconds
    passes: int = 0
    started: float = field(default_factory=time.monotonic)
    marks: list[Mark] = field(default_factory=list)

    @property
    def last(self) -> Evaluation | None:
        return self.evaluations[-1] if self.evaluations else None

    def add(self, evaluation: Evaluation) -> None:
        """Append an evaluation in place of those from its epoch on, which a resume repeats."""
        earlier = [e for e in self.evaluations if e.epoch < evaluation.epoch]
        self.evaluations = [*earlier, evaluation]
        earlier_marks = [mark for mark in self.marks if mark.epoch < evaluation.epoch]
        self.marks = [*earlier_marks, Mark.of(evaluation, self.spec.device)]

    def row(self, state: State, *, at: float, reason: str | None = None) -> TrialRow:
        """Return the row of this trial, `at` seconds after the driver's start."""
        last, spent = self.last, time.monotonic() - self.started
        seconds = 0.0 if last is None or not self.is_whole else last.seconds
        return TrialRow(
            number=self.spec.number,
            method=self.spec.method,
            state=state,
            value=None if last is None else last.value,
            sd=0.0 if last is None else last.sd,
            epoch=0 if last is None else last.epoch,
            passes=self.passes if last is None else last.passes,
            reason=reason,
            seconds=seconds,
            pace=pace_of(self.marks, rest=pace_ahead(last, self.spec.restarts, self.spec.device)),
            at=at,
            overhead=max(spent - seconds, 0.0) if seconds and state != "RUNNING" else None,
        )


@final
class SearchController(TrialController):
    """Runs one search from its first open trial to its last.

    `error` is what aborted the search, and `failures` counts the failed trials. A trial whose
    worker dies is run again, and one that takes longer than `trial_timeout` seconds once. For the
    time left, `workers` run trials side by side until the seconds of `time_budget` are over.
    """

    def __init__(
        self,
        plan: "Plan",
        ledger: Ledger,
        tracker: "Tracker",
        *,
        folder: Place,
        device: str,
        workers: int = 1,
        trial_timeout: float | None = None,
        time_budget: float | None = None,
        on_progress: ProgressCallback | None = None,
        callbacks: Sequence[TrialCallback] = (),
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.close_reason: str | None = None
        self.error: Exception | None = None
        self.failures = FailureCount()
        self._tracker = tracker
        self._folder = folder
        self._device = device
        self._made_by = made_by(device)
        self._tags = plan_tags(plan.outline) | self._made_by
        self._on_progress = on_progress
        self._callbacks = callbacks
        self._running: dict[int, _RunningTrial] = {}
        self._losses: Counter[int] = Counter()
        self._trial_timeout = math.inf if trial_timeout is None else trial_timeout
        self._started = time.monotonic()
        ended = [record for record in ledger.trials() if record.state != "RUNNING"]
        self._rows = {
            record.number: TrialRow.from_record(record, passes=passes_of(plan, record))
            for record in ended
        }
        self._workers = workers
        self._time_budget = time_budget
        self._finals = finals_of(plan.study, device)
        self._finished_before = len(ended)

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle as an empty object: Tune pickles what it is given and never reads it back."""
        return object, ()

    @property
    def search(self) -> str:
        """Name of the search."""
        return self.ledger.name

    def remaining(self) -> int:
        """Return how many trials have not ended yet."""
        return self.ledger.remaining()

    def next_trial(self) -> TrialSpec | None:
        """Return the next trial to run, None when there is none to hand out at present."""
        if self.close_reason is not None:
            return None
        suggestion = self.ledger.ask()
        if suggestion is None:
            return None
        spec = self._begin(suggestion)
        self._update(self._running[spec.number].row("RUNNING", at=self._elapsed()))
        return spec

    def on_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Record an evaluation of a running trial; return whether the trial should stop here."""
        trial = self._running[number]
        stop = False
        for each in self._with_unreported(trial, evaluation):
            stop = self._report(trial, each) or stop
            if stop and not evaluation.finished:
                break
        if evaluation.finished:
            return False
        now = time.monotonic()
        if not stop and now - trial.logged_at > _LOG_SECONDS:
            trial.logged_at = now
            self._log(trial)
        self._update(trial.row("RUNNING", at=self._elapsed()))
        return stop

    def _with_unreported(self, trial: _RunningTrial, evaluation: Evaluation) -> list[Evaluation]:
        """Return an evaluation after the earlier ones that a lost worker wrote to disk only."""
        written = read_evaluations(place(trial.spec.folder)) if trial.is_resumed else []
        trial.is_resumed = False
        return [e for e in written if e.epoch < evaluation.epoch] + [evaluation]

    def _report(self, trial: _RunningTrial, evaluation: Evaluation) -> bool:
        trial.add(evaluation)
        if evaluation.value is None or evaluation.failure == "diverged":
            return False
        return self.ledger.report(
            trial.spec.number, evaluation.epoch, evaluation.value, final=evaluation.finished
        )

    def on_end(self, number: int, *, pruned: bool) -> None:
        """Give a trial its terminal state, which follows from its last evaluation."""
        state, reason = _terminal_state(self._running[number].last, pruned=pruned)
        self._end(number, state, reason)

    def on_trial_lost(self, number: int, detail: str) -> None:
        """Hand a trial whose worker died out again, or record it as failed after some retries."""
        trial = self._running.get(number)
        if trial is None:
            return
        reason = "oom" if "OutOfMemory" in detail else "worker_lost"
        if time.monotonic() - trial.started >= self._trial_timeout:
            reason = "timeout"
        self._losses[number] += 1
        if self.close_reason is None and self._losses[number] > _RETRIES[reason]:
            self._end(number, "FAIL", reason, detail or "its worker died repeatedly")
            return
        del self._running[number]
        self.ledger.requeue([number])

    def close(self, reason: str) -> None:
        """Hand out no more trials; `reason` is interrupt, time budget, failures or error."""
        self.close_reason = self.close_reason or reason

    def abort(self, error: Exception) -> None:
        """Close the search because of an error that would affect every other trial."""
        self.error = self.error or error
        self.close("error")

    def end_remaining(self) -> None:
        """Give the open trials of a closed search a terminal state."""
        while (suggestion := self.ledger.ask(unfinished_only=True)) is not None:
            self._begin(suggestion)
        for number, trial in list(self._running.items()):
            is_scored = trial.last is not None and trial.last.value is not None
            self._end(number, "PRUNED" if is_scored else "FAIL", self.close_reason)
        begun = len(self.ledger.trials())
        if begun < self.ledger.size:
            self.ledger.cut(begun, why=self._close_words)

    @property
    def _close_words(self) -> str:
        return self.failures.why if self.close_reason == "failures" else "the time budget ran out"

    def requeue(self, detail: str) -> None:
        """Take back the running trials after the executor as a whole has failed."""
        for number in list(self._running):
            self.on_trial_lost(number, detail)

    def snapshot(self) -> SearchSnapshot:
        """Return the current state of the search."""
        return SearchSnapshot(
            total=int(self.ledger.size),
            rows=tuple(self._rows.values()),
            seconds=self._elapsed(),
            finished_before=self._finished_before,
            workers=self._workers,
            budget=self._time_budget,
            finals=self._finals,
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _begin(self, suggestion: Suggestion) -> TrialSpec:
        spec = self._spec(suggestion)
        trial = _RunningTrial(spec, passes=passes_of(self.plan, suggestion))
        self._running[suggestion.number] = trial
        if suggestion.attempt > 0:
            trial.evaluations = read_evaluations(place(trial.spec.folder))
            trial.is_resumed = True
            trial.is_whole = not trial.evaluations
        return trial.spec

    def _spec(self, suggestion: Suggestion) -> TrialSpec:
        study = self.plan.study
        config = self.plan.branches[suggestion.method].config(suggestion.params)
        return TrialSpec(
            number=suggestion.number,
            method=suggestion.method,
            settings=config.to_mapping(),
            seeds=trial_seeds(
                study.seed,
                suggestion.number,
                study.replicas * study.restarts,
                shared=bool(config.pretraining),
            ),
            restarts=study.restarts,
            objective=study.objective,
            folder=str(trial_folder(self._folder, suggestion.number)),
            attempt=suggestion.attempt,
            device=self._device,
            pretraining_cache=str(self._folder.parent / CACHE_FOLDER),
        )

    def _end(self, number: int, state: State, reason: str | None, detail: str = "") -> None:
        trial = self._running.pop(number)
        last = trial.last
        value = None if last is None else last.value
        detail = detail or ("" if last is None else last.detail)
        outcome = _outcome(last, reason, detail) | self._made_by
        self.ledger.tell(number, state, value=value, outcome=outcome)
        self._log(trial)
        self._count(state, reason, detail)
        row = trial.row(state, at=self._elapsed(), reason=reason)
        self._update(row)
        for callback in self._callbacks:
            callback(row)

    def _count(self, state: State, reason: str | None, detail: str) -> None:
        """Close the search if so many trials fail that the others would fail as well."""
        if self.close_reason is None:
            self.failures.add(state, reason, detail)
            if self.failures.too_many:
                self.close("failures")

    def _log(self, trial: _RunningTrial) -> None:
        record = self.ledger.trial(trial.spec.number)
        self._tracker.log(
            trial_run_record(self.plan.outline, record, trial.evaluations, self._tags)
        )

    def _update(self, row: TrialRow) -> None:
        self._rows[row.number] = row
        if self._on_progress is not None:
            self._on_progress(self.snapshot())


def _terminal_state(last: Evaluation | None, *, pruned: bool) -> tuple[State, str | None]:
    """Return the state that a trial ends in, and the reason if it failed or collapsed."""
    if last is None:
        return "FAIL", "worker_lost"
    if pruned:
        return "PRUNED", None
    if last.failure == "collapsed" and last.value is not None:
        return "COMPLETE", "collapsed"
    if last.failure is not None or last.value is None:
        return "FAIL", last.failure or "no value"
    return "COMPLETE", None


def _outcome(last: Evaluation | None, reason: str | None, detail: str) -> dict[str, Any]:
    """Return what the ledger stores of how a trial ended, and of its last evaluation."""
    ended = {"reason": reason, "detail": detail}
    if last is None:
        return ended
    return ended | {
        "epoch": last.epoch,
        "sd": last.sd,
        "replicas": [value if math.isfinite(value) else None for value in last.replicas],
        "metrics": dict(last.metrics),
        "seconds": last.seconds,
        **({"seeds": list(last.seeds)} if last.seeds else {}),
    }
