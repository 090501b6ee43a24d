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
from ..orchestration.controller import Conductor
from ..training.trial import Evaluation


@contextlib.contextmanager
def _answering(conductor: Conductor) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        conductor.give_up(error)


@final
class Numbers(Searcher):
    """Tune's way of asking for the next trial."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor
        self._number: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next job, or that there is none."""
        with _answering(self._conductor):
            job = self._conductor.next_job()
            if job is not None:
                self._number[trial_id] = job.number
                return {"job": job.to_mapping()}
        return Searcher.FINISHED

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
    ) -> None:
        """Pass on how a trial ended."""
        number = self._number.pop(trial_id)
        with _answering(self._conductor):
            if error:
                self._conductor.lost(number)
            else:
                evaluation: Evaluation | None = (result or {}).get("evaluation")
                ended = evaluation is not None and evaluation.finished
                self._conductor.finished(number, pruned=not ended)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is the record."""


@final
class EarlyStopping(FIFOScheduler):
    """Tune's way of asking whether a trial goes on; the ledger's pruner answers."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def on_trial_result(self, _: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial continues."""
        decision: str = TrialScheduler.CONTINUE
        with _answering(self._conductor):
            if "disk" in result:
                raise DiskError(result["disk"])
            if self._conductor.evaluated(_number(trial), result["evaluation"]):
                decision = TrialScheduler.STOP
        return decision

    def on_trial_complete(self, _: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take the last evaluation of a trial that came to its end by itself."""
        evaluation: Evaluation = result["evaluation"]
        if evaluation.finished:
            with _answering(self._conductor):
                self._conductor.evaluated(_number(trial), evaluation)

    def on_trial_error(self, _: Any, trial: Any) -> None:
        """Note why a worker was lost: Tune asks here each time, and may yet go on elsewhere."""
        with _answering(self._conductor):
            self._conductor.mishap(_number(trial), str(trial.get_error() or "its worker died"))


def _number(trial: Any) -> int:
    return int(trial.config["job"]["number"])


@final
class Closing(Stopper):
    """Tune's way of asking whether the search is to be closed."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def __call__(self, *_: Any) -> bool:
        """Return whether one trial stops: the scheduler decides that."""
        return False

    def stop_all(self) -> bool:
        """Return whether everything stops."""
        return self._conductor.closing is not None
