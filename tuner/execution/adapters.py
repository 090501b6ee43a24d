"""What Tune asks of the driver: adapters that pass its questions on to the conductor.

Tune takes an exception in an adapter for a trial's: the adapters hand theirs to the conductor, and
close the search.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, final

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from ..errors import DiskError
from ..training.evaluations import Evaluation
from .trial_controller import TrialController


@contextlib.contextmanager
def _aborting_on_error(controller: TrialController) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        controller.abort(error)


@final
class ControllerSearcher(Searcher):
    """Tune's way of asking for the next trial."""

    def __init__(self, controller: TrialController) -> None:
        super().__init__()
        self._controller = controller
        self._number: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next job, or that there is none."""
        with _aborting_on_error(self._controller):
            spec = self._controller.next_trial()
            if spec is not None:
                self._number[trial_id] = spec.number
                return {"spec": spec.to_mapping()}
        return Searcher.FINISHED

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
    ) -> None:
        """Pass on how a trial ended."""
        number = self._number.pop(trial_id)
        with _aborting_on_error(self._controller):
            if error:
                self._controller.on_trial_lost(number)
            else:
                evaluation: Evaluation | None = (result or {}).get("evaluation")
                ended = evaluation is not None and evaluation.finished
                self._controller.on_end(number, pruned=not ended)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the record."""


@final
class ControllerScheduler(FIFOScheduler):
    """Tune's way of asking whether a trial goes on; the ledger's pruner answers."""

    def __init__(self, controller: TrialController) -> None:
        super().__init__()
        self._controller = controller

    def on_trial_result(self, _: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial continues."""
        decision: str = TrialScheduler.CONTINUE
        with _aborting_on_error(self._controller):
            if "disk" in result:
                raise DiskError(result["disk"])
            if self._controller.on_evaluation(_number(trial), result["evaluation"]):
                decision = TrialScheduler.STOP
        return decision

    def on_trial_complete(self, _: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take the last evaluation of a trial that came to its end by itself."""
        evaluation: Evaluation = result["evaluation"]
        if evaluation.finished:
            with _aborting_on_error(self._controller):
                self._controller.on_evaluation(_number(trial), evaluation)

    def on_trial_error(self, _: Any, trial: Any) -> None:
        """Note why a worker was lost: Tune asks here each time, and may yet go on elsewhere."""
        with _aborting_on_error(self._controller):
            self._controller.on_worker_failure(
                _number(trial), str(trial.get_error() or "its worker died")
            )


def _number(trial: Any) -> int:
    return int(trial.config["spec"]["number"])


@final
class ControllerStopper(Stopper):
    """Tune's way of asking whether the search is to be closed."""

    def __init__(self, controller: TrialController) -> None:
        self._controller = controller

    def __call__(self, *_: Any) -> bool:
        """Return whether one trial stops: the scheduler decides that."""
        return False

    def stop_all(self) -> bool:
        """Return whether everything stops."""
        return self._controller.closing is not None
