"""Searches without Ray and without training: a controller with made-up trials."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event

from tuner.ledger.ledger import Ledger
from tuner.ledger.records import TrialRecord
from tuner.orchestration.controller import SearchController
from tuner.study.plan import Plan
from tuner.training.evaluations import Evaluation
from tuner.training.trial_inputs import TrialSpec

from .plans import record

NAME = "rehearsed"


class KilledError(Exception):
    """Raised in place of a write when the driver is to die."""


@dataclass
class Tracker:
    """Keeps the newest record of every trial."""

    records: dict[str, Any] = field(default_factory=dict)

    def log(self, record: Any) -> None:
        self.records[record.key] = record


def value(spec: TrialSpec, epoch: int) -> float:
    """Return the value of a made-up trial, a smooth function of its settings."""
    width = math.log10(float(spec.settings["width"]))
    best = 1 - 0.3 * width**2 - 0.01 * (int(spec.settings["n_components"]) - 6) ** 2
    return best * (1 - 0.5**epoch)


def evaluations(spec: TrialSpec) -> Iterator[Evaluation]:
    """Yield the evaluations of a made-up trial."""
    passes = int(spec.settings["epochs"])
    for epoch in range(1, passes + 1):
        yield Evaluation(
            epoch=epoch,
            passes=passes,
            stage="train",
            value=value(spec, epoch),
            finished=epoch == passes,
        )


Run = Callable[[TrialSpec], Iterable[Evaluation]]


def execute(controller: SearchController, run: Run = evaluations, *, workers: int = 1) -> None:
    """Run the trials of a controller, taking turns."""
    running: list[tuple[int, Iterator[Evaluation]]] = []
    while controller.close_reason is None:
        while len(running) < workers and (spec := controller.next_trial()) is not None:
            running.append((spec.number, iter(run(spec))))
        if not running:
            return
        number, trial = running.pop(0)
        evaluation = next(trial)
        stop = controller.on_evaluation(number, evaluation)
        if stop or evaluation.finished:
            controller.on_end(number, pruned=stop)
        else:
            running.append((number, trial))


def opened(url: str, plan: Plan) -> Ledger:
    """Return the ledger of a search, new or existing."""
    try:
        ledger = Ledger.load(url, NAME)
    except Exception:  # there is none
        ledger = Ledger.create(url, NAME, record(plan))
    ledger.start(plan)
    return ledger


def controller_of(plan: Plan, ledger: Ledger, folder: Path, **options: Any) -> SearchController:
    """Return a controller with a tracker in memory."""
    tracker: Any = Tracker()
    return SearchController(plan, ledger, tracker, folder=folder, device="cpu", **options)


@contextmanager
def deadly(ledger: Ledger, *, after: int) -> Iterator[list[int]]:
    """Let `after` more writes reach the database, then raise KilledError at the next one."""
    count = [0]

    def hook(_: object) -> None:
        count[0] += 1
        if count[0] > after:
            raise KilledError

    event.listen(ledger._storage.engine, "commit", hook)
    try:
        yield count
    finally:
        event.remove(ledger._storage.engine, "commit", hook)


def bury(ledger: Ledger) -> None:
    """Abandon a ledger as a killed driver does: the lease stays but is not renewed."""
    ledger.lease._stop.set()
    ledger._storage.scoped_session.remove()
    ledger._storage.engine.dispose()


def essence(entries: Iterable[TrialRecord]) -> list[tuple[Any, ...]]:
    """Return the parts of records that must not depend on what happened to the driver."""
    return [
        (e.number, e.state, e.method, dict(e.params), e.value, dict(e.intermediate_values))
        for e in entries
    ]
