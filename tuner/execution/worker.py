"""What runs in a worker process on some machine of the cluster: trials, finalists, references.

The process imports this module and what training needs, nothing else, so that it starts fast.
References of scores are made here and not in a thread of the driver, because the driver forks when
Ray starts, and OpenBLAS hangs if another thread is computing at that moment.
"""

import contextlib
import faulthandler
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from ray import tune

from ..errors import FilesError
from ..training.finalist import Finalist, fit_finalist
from ..training.trial import Trial
from ..training.trial_inputs import TrialSpec, trial_data

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation.graph import NeighbourGraph
    from ..evaluation.structureless import CloudTest

_LAST_SECONDS = 4.0  # that an interrupted search waits for an object store


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a trial may use: its share of a GPU, and seconds, None for as many as it needs."""

    gpu_share: float
    seconds: float | None

    def cap_memory(self) -> None:
        """Limit this process to its share of a GPU's memory if several processes use the GPU."""
        if 0 < self.gpu_share < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(self.gpu_share)

    def start_clock(self) -> None:
        """End this process once the seconds are over, unless the clock is stopped or restarted.

        The clock needs neither the interpreter's lock nor a signal, so that nothing can hold it
        up. It writes to the worker's log where each thread was.
        """
        if self.seconds is not None:
            faulthandler.dump_traceback_later(self.seconds, exit=True)


def stop_clock() -> None:
    """Let the current trial take as long as it needs from now on."""
    faulthandler.cancel_dump_traceback_later()


def train_finalist(limits: Limits, *args: Any, **options: Any) -> Finalist:
    """Train a finalist in this process."""
    limits.cap_memory()
    limits.start_clock()
    try:
        return fit_finalist(*args, **options)
    finally:
        stop_clock()


def make_graph(dataset: "Dataset", objective: str) -> "NeighbourGraph":
    """Return the graph on which the training points of a dataset are scored."""
    from ..evaluation.structureless import scored_graph

    return scored_graph(dataset.train, fingerprint=dataset.fingerprint, objective=objective)


def make_cloud_test(dataset: "Dataset") -> "CloudTest":
    """Return the test for clusters in the training points of a dataset."""
    from ..evaluation.structureless import cloud_test

    return cloud_test(dataset.train, fingerprint=dataset.fingerprint)


@final
class TrialTrainable(tune.Trainable):
    """Runs one trial after another in the same process, which receives the data once."""

    def setup(self, config: dict[str, Any], dataset: Any, graph: Any, limits: Limits) -> None:
        """Prepare the data that all trials share and begin the first trial."""
        self._limits = limits
        limits.cap_memory()
        self._shared = trial_data(dataset, graph)
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._limits.start_clock()
        self._trial = Trial(TrialSpec(**config["spec"]), self._shared)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation.

        Report files that cannot be written separately: that is not a failure of the trial.
        """
        try:
            evaluation = self._trial.advance()
        except FilesError as error:
            return {"files": error}
        if evaluation.finished:
            stop_clock()
        return {"evaluation": evaluation, "done": evaluation.finished}

    def cleanup(self) -> None:
        """Save a checkpoint of a trial that is interrupted."""
        stop_clock()
        if not self._trial.finished:
            with contextlib.suppress(FilesError):
                self._trial.save(patience=_LAST_SECONDS)
