"""What runs in a process of a machine: a worker that trains trial after trial, and finalists.

The process imports this page and what it takes to train, no more: it starts the sooner.
"""

import contextlib
from typing import Any, final

import torch
from ray import tune

from ..errors import DiskError
from ..training.finalist import Finalist, fit_finalist
from ..training.trial import Trial
from ..training.trial_inputs import TrialSpec, trial_data


def cap_memory(gpu_share: float) -> None:
    """Let this process have its share of a GPU's memory and no more, where several share one."""
    if 0 < gpu_share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpu_share)


def finalist(gpu_share: float, *args: Any, **options: Any) -> Finalist:
    """Train a finalist in this process."""
    cap_memory(gpu_share)
    return fit_finalist(*args, **options)


@final
class TrialTrainable(tune.Trainable):
    """A process that runs trial after trial; data arrive once."""

    def setup(self, config: dict[str, Any], dataset: Any, graph: Any, gpu_share: float) -> None:
        """Fetch what all trials share and begin the first."""
        cap_memory(gpu_share)
        self._shared = trial_data(dataset, graph)
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._trial = Trial(TrialSpec(**config["spec"]), self._shared)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation; a full disk is no fault of the trial."""
        try:
            evaluation = self._trial.advance()
        except DiskError as error:
            return {"disk": str(error)}
        return {"evaluation": evaluation, "done": evaluation.finished}

    def cleanup(self) -> None:
        """Keep the work of a trial that is interrupted."""
        if not self._trial.finished:
            with contextlib.suppress(DiskError):
                self._trial.save()
