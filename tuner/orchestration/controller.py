"""What happens to a search's trials between the ledger, tracking and whoever executes them.

The conductor hands out jobs, takes evaluations, decides about stopping, and writes each outcome:
to the ledger first, then to tracking. It knows neither Ray nor the terminal.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..execution.trial_controller import TrialController
from ..ledger.ledger import Ledger, State, Suggestion, TrialRecord
from ..study.seeds import trial_seeds
from ..tracking.trial_records import plan_tags, trial_record
from ..training.evaluations import Evaluation, read_evaluations
from ..training.pretraining_cache import CACHE_FOLDER
from ..training.trial_inputs import TrialSpec

if TYPE_CHECKING:
    from ..study.study import Plan
    from ..tracking import Tracker

_MOST_FAILURES = 5
_MOST_CRASHES = 3
_TRACK_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial as a leaderboard shows it."""

    number: int
    method: str
    state: State
    value: float | None = None
    sd: float = 0.0
    epoch: int = 0
    passes: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A search at a moment, for whoever shows it."""

    total: int
    rows: tuple[Row, ...]
    seconds: float
    finished_before: int
    notice: str = ""

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.rows)

    @property
    def done(self) -> int:
        """Trials with a terminal state."""
        return len(self.rows) - self.count("RUNNING")

    @property
    def eta(self) -> float | None:
        """Seconds that are left at the pace so far, None before the first trial ends."""
        new = self.done - self.finished_before
        return None if new < 1 else self.seconds / new * (self.total - self.done)

    def best(self, n: int) -> list[Row]:
        """Return the n best complete trials, best first."""
        complete = [row for row in self.rows if row.state == "COMPLETE" and is_usable(row)]
        return sorted(complete, key=lambda row: -(row.value or 0.0))[:n]

    def failures(self) -> dict[str, int]:
        """Return how many trials failed, by reason."""
        reasons = [
            (row.reason or "unknown").split(":")[0] for row in self.rows if row.state == "FAIL"
        ]
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


Watch = Callable[[Snapshot], None]


def is_usable(row: "Row | TrialRecord") -> bool:
    """Return whether a complete trial may be called best: it has clusters."""
    reason = row.reason if isinstance(row, Row) else row.outcome.get("reason")
    return row.value is not None and reason is None


@dataclass
class _Run:
    """A trial under way."""

    suggestion: Suggestion
    spec: TrialSpec
    evaluations: list[Evaluation] = field(default_factory=list)
    tracked: float = -math.inf
    is_resumed: bool = False


@final
class SearchController(TrialController):
    """One search from its first open number to its last."""

    def __init__(
        self,
        plan: "Plan",
        ledger: Ledger,
        tracker: "Tracker",
        *,
        folder: Path,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.closing: str | None = None
        self.fault: Exception | None = None
        self.detail = ""
        self._tracker = tracker
        self._folder = folder
        self._device = device
        self._tags = plan_tags(plan, device=device)
        self._watch = watch
        self._runs: dict[int, _Run] = {}
        self._crashes: dict[int, int] = {}
        self._mishaps: dict[int, str] = {}
        self._failures = 0
        self._began = time.monotonic()
        self._rows = {
            entry.number: _row(entry) for entry in ledger.trials() if entry.state != "RUNNING"
        }
        self._before = len(self._rows)

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Leave nothing behind in a pickle: Tune writes one of all it is given, and reads none."""
        return object, ()

    @property
    def search(self) -> str:
        """Name of the search."""
        return self.ledger.name

    def remaining(self) -> int:
        """Return how many trials have not ended yet."""
        return self.ledger.remaining()

    def next_trial(self) -> TrialSpec | None:
        """Return the next trial to run, None when there is none left to hand out."""
        if self.closing is not None:
            return None
        suggestion = self.ledger.ask()
        if suggestion is None:
            return None
        spec = self._begin(suggestion)
        if self._crashes.get(suggestion.number, 0) >= _MOST_CRASHES:
            self.on_trial_lost(suggestion.number)
            return self.next_trial()
        self._show(Row(number=suggestion.number, method=suggestion.method, state="RUNNING"))
        return spec

    def on_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Take an evaluation; return whether the trial should stop here."""
        run = self._runs[number]
        stop = False
        for one in self._missed(run, evaluation):
            stop = self._report(run, one) or stop
            if stop and not evaluation.finished:
                break
        if evaluation.finished:
            return False
        now = time.monotonic()
        if not stop and now - run.tracked > _TRACK_SECONDS:
            run.tracked = now
            self._track(run)
        self._show(_running(run.suggestion, evaluation))
        return stop

    def _missed(self, run: _Run, evaluation: Evaluation) -> list[Evaluation]:
        """Return an evaluation after those that were written just before a worker was lost."""
        written = read_evaluations(Path(run.spec.folder)) if run.is_resumed else []
        run.is_resumed = False
        return [e for e in written if e.epoch < evaluation.epoch] + [evaluation]

    def _report(self, run: _Run, said: Evaluation) -> bool:
        # a trial that was taken up again says some things twice
        run.evaluations = [e for e in run.evaluations if e.epoch < said.epoch] + [said]
        if said.value is None or said.failure == "diverged":
            return False
        return self.ledger.report(
            run.suggestion.number, said.epoch, said.value, final=said.finished
        )

    def on_end(self, number: int, *, pruned: bool) -> None:
        """Give a number its terminal state, from its last evaluation."""
        run = self._runs[number]
        last = run.evaluations[-1] if run.evaluations else None
        if last is None:
            self._end(number, "FAIL", None, reason="worker_lost")
        elif pruned:
            self._end(number, "PRUNED", last)
        elif last.failure == "collapsed" and last.value is not None:
            self._end(number, "COMPLETE", last, reason="collapsed")
        elif last.failure is not None or last.value is None:
            reason = last.failure or "no value"
            self._end(number, "FAIL", last, reason=reason)
        else:
            self._end(number, "COMPLETE", last)

    def on_worker_failure(self, number: int, detail: str) -> None:
        """Note why a worker was lost; its trial may yet go on in another."""
        self._mishaps[number] = detail
        self._runs[number].is_resumed = True

    def on_trial_lost(self, number: int) -> None:
        """Fail a number whose worker died too often."""
        run = self._runs[number]
        last = run.evaluations[-1] if run.evaluations else None
        self.detail = self._mishaps.get(number, "its worker died again and again")
        reason = "oom" if "OutOfMemory" in self.detail else "worker_lost"
        self._end(number, "FAIL", last, reason=reason)

    def close(self, why: str) -> None:
        """Hand out no more jobs: `interrupt`, `time budget`, `failures` or `fault`."""
        self.closing = self.closing or why

    def abort(self, fault: Exception) -> None:
        """Close the search for a fault that no other trial would be spared."""
        self.fault = self.fault or fault
        self.close("fault")

    def end_remaining(self) -> None:
        """Give the numbers that a closed search leaves behind their terminal state."""
        while (suggestion := self.ledger.ask(left_behind=True)) is not None:
            self._begin(suggestion)
        for number, run in list(self._runs.items()):
            last = run.evaluations[-1] if run.evaluations else None
            scored = last is not None and last.value is not None
            state: State = "PRUNED" if scored else "FAIL"
            self._end(number, state, last, reason=self.closing)
        self.ledger.resize(len(self.ledger.trials()))

    def requeue(self, detail: str) -> None:
        """Take back the numbers under way, after their executor has failed as a whole.

        A number that is there each time is likely the cause, and is given up in the end.
        """
        for number in self._runs:
            self._crashes[number] = self._crashes.get(number, 0) + 1
            self._mishaps[number] = detail
        self.ledger.requeue(list(self._runs))
        self._runs.clear()

    def snapshot(self, notice: str = "") -> Snapshot:
        """Return the search as it stands."""
        return Snapshot(
            total=int(self.ledger.size),
            rows=tuple(self._rows.values()),
            seconds=time.monotonic() - self._began,
            finished_before=self._before,
            notice=notice,
        )

    def _begin(self, suggestion: Suggestion) -> TrialSpec:
        run = self._runs[suggestion.number] = _Run(suggestion, self._spec(suggestion))
        if suggestion.attempt > 0:
            run.evaluations, run.is_resumed = read_evaluations(Path(run.spec.folder)), True
        return run.spec

    def _spec(self, suggestion: Suggestion) -> TrialSpec:
        study = self.plan.study
        config = self.plan.branches[suggestion.method].config(suggestion.params)
        return TrialSpec(
            number=suggestion.number,
            method=suggestion.method,
            settings=config.to_mapping(),
            seeds=trial_seeds(
                study.seed, suggestion.number, study.replicas, shared=bool(config.pretraining)
            ),
            objective=study.objective,
            folder=str(self._folder / f"trial-{suggestion.number:05d}"),
            device=self._device,
            pretraining_cache=str(self._folder.parent / CACHE_FOLDER),
        )

    def _end(
        self, number: int, state: State, last: Evaluation | None, reason: str | None = None
    ) -> None:
        run = self._runs.pop(number)
        value, sd = (None, 0.0) if last is None else (last.value, last.sd)
        self.ledger.tell(number, state, value=value, outcome=_outcome(last, reason))
        self._track(run)
        self._count(state, reason, "" if last is None else last.detail)
        method = run.suggestion.method
        self._show(
            Row(number=number, method=method, state=state, value=value, sd=sd, reason=reason)
        )

    def _count(self, state: str, reason: str | None, detail: str) -> None:
        """Close the search when trial after trial fails: the next would fail as well."""
        self._failures = self._failures + 1 if state == "FAIL" and self.closing is None else 0
        if self._failures >= _MOST_FAILURES:
            self.detail = (
                detail or self.detail or f"the last {self._failures} trials failed: {reason}"
            )
            self.close("failures")

    def _track(self, run: _Run) -> None:
        entry = self.ledger.trial(run.suggestion.number)
        self._tracker.log(trial_record(self.plan, entry, run.evaluations, self._tags))

    def _show(self, row: Row) -> None:
        self._rows[row.number] = row
        if self._watch is not None:
            self._watch(self.snapshot())


def _outcome(last: Evaluation | None, reason: str | None) -> dict[str, Any]:
    """Return what the ledger keeps of a trial's last evaluation."""
    if last is None:
        return {"reason": reason}
    return {
        "reason": reason,
        "detail": last.detail,
        "epoch": last.epoch,
        "sd": last.sd,
        "replicas": [value if math.isfinite(value) else None for value in last.replicas],
        "metrics": dict(last.metrics),
        "seconds": last.seconds,
    }


def _row(entry: TrialRecord) -> Row:
    return Row(
        number=entry.number,
        method=entry.method,
        state=entry.state,
        value=entry.value,
        sd=entry.outcome.get("sd", 0.0),
        reason=entry.outcome.get("reason"),
    )


def _running(suggestion: Suggestion, evaluation: Evaluation) -> Row:
    return Row(
        number=suggestion.number,
        method=suggestion.method,
        state="RUNNING",
        value=evaluation.value,
        sd=evaluation.sd,
        epoch=evaluation.epoch,
        passes=evaluation.passes,
    )
