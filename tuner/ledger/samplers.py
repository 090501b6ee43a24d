"""Optuna's samplers, by their names in a study."""

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from ..errors import UsageError

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..study.plan import Plan
    from ..study.space import Parameter

_GRID_POINTS = 5
_MAX_GRID_SIZE = 100_000
MOST_SEEN = {"gp": 500}
"""Trials that a sampler looks at, if its time grows so fast that a long search must not show it
all of them: the better half are the best, the others the newest."""


def sampler(plan: "Plan", number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial, seeded with the study's seed and the trial's number.

    Each trial has a new sampler, so that a resumed search suggests the same params as one that
    was never interrupted.
    """
    study = plan.study
    seed = int(np.random.SeedSequence([study.seed, number]).generate_state(1)[0])
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match study.sampler:
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "gp":
                return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed)
            case "qmc":  # all trials share one sequence, so the seed must not depend on the number
                return samplers.QMCSampler(
                    seed=study.seed, scramble=True, warn_independent_sampling=False
                )
            case "grid":
                return samplers.GridSampler(grid(plan), seed=study.seed)
        return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def excerpt(study: optuna.Study, most: int | None) -> optuna.Study:
    """Return a copy of a study with its best and its newest trials, itself if these are all."""
    trials = study.get_trials(deepcopy=False)
    if most is None or len(trials) <= most:
        return study
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: -(trial.value or 0.0))[: most // 2]
    kept = {trial.number for trial in best} | {trial.number for trial in trials[-(most // 2) :]}
    copy = optuna.create_study(storage=InMemoryStorage(), direction="maximize")
    for trial in trials:
        if trial.number in kept:
            copy._storage.create_new_trial(copy._study_id, template_trial=trial)
    return copy


def grid(plan: "Plan") -> dict[str, list["Scalar"]]:
    """Return the grid of a study: all values of a choice, and up to five of a range."""
    if len(plan.branches) > 1:
        raise UsageError(
            f"sampler 'grid' supports one method, not {len(plan.branches)}: name one method, or "
            "choose another sampler"
        )
    branch = next(iter(plan.branches.values()))
    parameters = branch.space.parameters.values()
    values = {
        f"{branch.method}.{parameter.name}": _grid_values(parameter) for parameter in parameters
    }
    size = math.prod(len(each) for each in values.values())
    if size > _MAX_GRID_SIZE:
        raise UsageError(
            f"sampler 'grid' would search {size:,} combinations, but at most {_MAX_GRID_SIZE:,} "
            "are allowed: fix settings with --set, or choose another sampler"
        )
    return values


def _grid_values(parameter: "Parameter") -> list["Scalar"]:
    if parameter.kind == "choice":
        return list(parameter.choices)
    space = np.geomspace if parameter.log else np.linspace
    points = space(parameter.low, parameter.high, _GRID_POINTS)
    if parameter.kind == "int":
        return [int(value) for value in np.unique(points.round().astype(int))]
    return [float(value) for value in np.clip(points, parameter.low, parameter.high)]
