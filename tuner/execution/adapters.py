"""Ray Tune's searcher, scheduler and stopper, which leave every decision to the controller.

Tune would treat an exception in an adapter as a failed trial. The adapters therefore pass theirs
to the controller, which closes the search.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import ProgressReporter
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from ..training.evaluations import Evaluation
from .trial_controller import TrialController
from .watch import CapacityWatch

_LONGEST = 300  # characters of what a worker died of


@contextlib.contextmanager
def _aborting_on_error(controller: TrialController) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        controller.abort(error)


@contextlib.contextmanager
def every_loss_retried() -> Iterator[None]:
    """Let Tune retry a trial whatever became of its worker.

    Tune knows RayActorError and stops the experiment at any other, such as that of Ray's memory
    monitor. It keeps no type of an error, so the type becomes part of the text.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        is_known = isinstance(exception, RayActorError | RayTaskError)
        if isinstance(exception, RayError) and not is_known:
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original


@final
class ControllerSearcher(Searcher):
    """Gets trials for Tune from the controller."""

    def __init__(self, controller: TrialController) -> None:
        super().__init__()
        self._controller = controller
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial as a Tune config, FINISHED when there is none and none will be.

        None means that a trial which is running may have to be handed out again.
        """
        with _aborting_on_error(self._controller):
            spec = self._controller.next_trial()
            if spec is not None:
                self._numbers[trial_id] = spec.number
                return {"spec": spec.to_mapping()}
            if self._numbers and self._controller.close_reason is None:
                return None
        return Searcher.FINISHED

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
    ) -> None:
        """Report how a trial ended."""
        number = self._numbers.pop(trial_id)
        with _aborting_on_error(self._controller):
            if error:  # the scheduler has said why, unless Tune did not tell it
                self._controller.on_trial_lost(number, "")
            else:
                evaluation: Evaluation | None = (result or {}).get("evaluation")
                finished = evaluation is not None and evaluation.finished
                self._controller.on_end(number, pruned=not finished)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the source of truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the source of truth."""


@final
class ControllerScheduler(FIFOScheduler):
    """Passes evaluations to the controller, whose pruner decides whether a trial continues."""

    def __init__(self, controller: TrialController) -> None:
        super().__init__()
        self._controller = controller

    def on_trial_result(self, _: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial continues or stops."""
        decision: str = TrialScheduler.CONTINUE
        with _aborting_on_error(self._controller):
            if "files" in result:
                raise result["files"]
            if self._controller.on_evaluation(_number(trial), result["evaluation"]):
                decision = TrialScheduler.STOP
        return decision

    def on_trial_complete(self, _: Any, trial: Any, result: dict[str, Any]) -> None:
        """Report the last evaluation of a trial that trained to its end."""
        evaluation: Evaluation = result["evaluation"]
        if evaluation.finished:
            with _aborting_on_error(self._controller):
                self._controller.on_evaluation(_number(trial), evaluation)

    def on_trial_error(self, _: Any, trial: Any) -> None:
        """Report why a worker died; the controller decides whether the trial is run again.

        Tune itself retries nothing, because it would not retry a trial whose worker died before
        the first report.
        """
        with _aborting_on_error(self._controller):
            self._controller.on_trial_lost(_number(trial), _death(trial))


def _number(trial: Any) -> int:
    return int(trial.config["spec"]["number"])


def _death(trial: Any) -> str:
    """Return what a trial's worker died of, in a line.

    It is in a file of the driver's, below a heading. Tune's `get_error` reads a copy of it, which
    is made later.
    """
    text = ""
    with contextlib.suppress(OSError, TypeError):  # there may be no file, and no name of one
        _, _, text = Path(trial.error_file).read_text(encoding="utf-8").partition("\n")
    lines = text.strip().splitlines()
    return lines[0][:_LONGEST] if lines else "its worker died"


@final
class ControllerStopper(Stopper):
    """Stops Tune once the controller has closed the search, or no machine can run a trial."""

    def __init__(self, controller: TrialController, capacity: CapacityWatch) -> None:
        self._controller = controller
        self._capacity = capacity

    def __call__(self, *_: Any) -> bool:
        """Return False: the scheduler decides about single trials."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is closed."""
        with _aborting_on_error(self._controller):
            self._capacity.check(self._controller.search)
        return self._controller.close_reason is not None


@final
class SilentReporter(ProgressReporter):
    """Shows nothing: in a notebook, Tune's own reporter clears the output of the cell."""

    def should_report(self, trials: Any, done: bool = False) -> bool:
        """Return False."""
        del trials, done
        return False

    def report(self, trials: Any, done: bool, *sys_info: Any) -> None:
        """Do nothing."""
