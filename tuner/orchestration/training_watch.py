"""Shows a training without a search: what is trained, its evaluations and the time left."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from ..training.evaluations import Evaluation
from .progress import View
from .progress.events import Evaluated, Stage, Started
from .progress.words import times
from .snapshot import SearchSnapshot, TrialRow
from .time_left import Mark, pace_ahead, pace_of

if TYPE_CHECKING:
    from ..study.plan import Plan
    from ..training.places import Place

DRAWING = Stage(name="pictures", text="testing the models and drawing the best one")
_SHOWN = ("train/loss", "score/clusters_in_use", "audit/hungarian")


@final
class TrainingWatch:
    """Receives the evaluations of the one configuration of a plan, and tells a view."""

    def __init__(
        self,
        plan: "Plan",
        folder: "Place",
        view: View,
        *,
        device: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        (self._method,) = plan.branches
        self._view = view
        self._device, self._restarts = device, plan.study.restarts
        self._clock = clock
        self._began = clock()
        self._marks: list[Mark] = []
        self._begin(plan, folder)

    def __call__(self, evaluation: Evaluation) -> None:
        """Show an evaluation, and after the last one what follows."""
        self._marks.append(Mark.of(evaluation, self._device))
        snapshot = self._snapshot(evaluation)
        text = f"{evaluation_line(evaluation)}; {times(snapshot)}"
        self._view.show(Evaluated(evaluation, text, snapshot))
        if evaluation.finished:
            self._view.show(DRAWING)

    def _begin(self, plan: "Plan", folder: "Place") -> None:
        data, study, view = plan.dataset, plan.study, self._view
        view.log(f"data: {data.description}")
        view.log(f"begins with: {plan.branches[self._method].preset.text()}")
        for note in data.notes:
            view.log(f"note: {note}")
        for warning in data.warnings:
            view.log(f"warning: {warning}")
        view.show(
            Started(
                name=None,
                methods=(self._method,),
                dataset=data.name,
                trials=1,
                replicas=study.replicas,
                folder=str(folder),
            )
        )
        what = f"training {self._method} on {data.name} with {study.replicas_text} in {folder}"
        view.show(Stage(name="training", text=what))

    def _snapshot(self, evaluation: Evaluation) -> SearchSnapshot:
        now, rest = (
            self._clock() - self._began,
            pace_ahead(evaluation, self._restarts, self._device),
        )
        pace = pace_of(self._marks, rest=rest)
        row = TrialRow(
            number=0,
            method=self._method,
            state="RUNNING",
            value=evaluation.value,
            sd=evaluation.sd,
            epoch=evaluation.epoch,
            passes=evaluation.passes,
            # up to the first evaluation it is not known what was spent on the start
            seconds=0.0 if pace is None else evaluation.seconds,
            pace=pace,
            at=now,
        )
        return SearchSnapshot(total=1, rows=(row,), seconds=now, finished_before=0)


def evaluation_line(evaluation: Evaluation) -> str:
    """Return an evaluation on one line."""
    score = "no clusters yet" if evaluation.value is None else f"score {evaluation.value:.3f}"
    figures = [
        f"{name.split('/')[-1]} {evaluation.metrics[name]:.4g}"
        for name in _SHOWN
        if name in evaluation.metrics
    ]
    spread = f" ± {evaluation.sd:.3f}" if evaluation.value is not None and evaluation.sd else ""
    progress = f"epoch {evaluation.epoch}/{evaluation.passes}, {evaluation.stage}"
    return f"{progress}: {', '.join([score + spread, *figures])}"
