"""Optuna's pruners, by their names in a study: which trials are stopped early."""

import math
import warnings
from typing import TYPE_CHECKING, Any, final

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from .proposals import METHOD

if TYPE_CHECKING:
    from ..study.plan import Plan


def pruner(plan: "Plan") -> BasePruner:
    """Return the pruner of a plan, whose resource are epochs.

    Trials are compared with those of their own method alone.
    """
    scheduler = plan.study.scheduler
    own = {
        name: _pruner(scheduler, branch.config({}).passes)
        for name, branch in plan.branches.items()
    }
    return WithinMethods(own) if len(own) > 1 else next(iter(own.values()))


@final
class WithinMethods(BasePruner):
    """Compares a trial with those of its own method, by that method's schedule.

    Scores of two methods say little about each other halfway: one that pretrains a network has
    random clusters when another is done.
    """

    def __init__(self, pruners: dict[str, BasePruner]) -> None:
        self._pruners = pruners
        self._studies: dict[str, optuna.Study] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the trial should be stopped."""
        method = trial.params[METHOD]
        if method not in self._studies:
            storage: Any = _TrialsOfMethod(study._storage, method)
            self._studies[method] = optuna.Study(study.study_name, storage)
        return self._pruners[method].prune(self._studies[method], trial)


@final
class _TrialsOfMethod:
    """A storage of which only the trials of one method are seen."""

    def __init__(self, storage: Any, method: str) -> None:
        self._storage, self._method = storage, method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(*args, **options)
        return [trial for trial in trials if trial.params.get(METHOD) == self._method]


def _pruner(scheduler: str, epochs: int) -> BasePruner:
    """Return the pruner for a schedule of `epochs` epochs, which are its resource.

    Asynchronous successive halving keeps a third of the trials at each rung, the first at a ninth
    of the schedule (A System for Massively Parallel Hyperparameter Tuning, Li et al., 2020,
    algorithm 2).
    """
    pruners = optuna.pruners
    first = max(1, math.ceil(epochs / 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match scheduler:
            case "asha":
                return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
            case "hyperband":
                return pruners.HyperbandPruner(
                    min_resource=first, max_resource=max(epochs, first), reduction_factor=3
                )
            case "median":
                return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    return pruners.NopPruner()
