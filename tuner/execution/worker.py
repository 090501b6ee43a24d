"""What runs in a worker process on some machine of the cluster: trials and finalists.

The process imports this module and what training needs, nothing else, so that it starts fast.
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
    """Limit this process to its share of a GPU's memory if several processes use the GPU."""
    if 0 < gpu_share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpu_share)


def train_finalist(gpu_share: float, *args: Any, **options: Any) -> Finalist:
    """Train a finalist in this process."""
    cap_memory(gpu_share)
    return fit_finalist(*args, **options)


@final
class TrialTrainable(tune.Trainable):
    """Runs one trial after another in the same process, which receives the data once."""

    def setup(self, config: dict[str, Any], dataset: Any, graph: Any, gpu_share: float) -> None:
        """Prepare the data that all trials share and begin the first trial."""
        cap_memory(gpu_share)
        self._shared = trial_data(dataset, graph)
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._trial = Trial(TrialSpec(**config["spec"]), self._shared)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation.

        Report a full disk separately, because it is not a failure of the trial.
        """
        try:
            evaluation = self._trial.advance()
        except DiskError as error:
            return {"disk": str(error)}
        return {"evaluation": evaluation, "done": evaluation.finished}

    def cleanup(self) -> None:
        """Save a checkpoint of a trial that is interrupted."""
        if not self._trial.finished:
            with contextlib.suppress(DiskError):
                self._trial.save()
