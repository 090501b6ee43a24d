"""Optuna's samplers and pruners by name."""

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import optuna

from ..errors import UsageError

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..study.space import Parameter
    from ..study.study import Plan

_GRID_POINTS = 5
_MOST_CELLS = 100_000


def sampler(plan: "Plan", number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler that proposes one number, seeded by the study's seed and the number.

    It is built anew for each number, so that a resumed search proposes what an unbroken one would.
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
            case "qmc":  # the points of one sequence: the seed may not change with the number
                return samplers.QMCSampler(
                    seed=study.seed, scramble=True, warn_independent_sampling=False
                )
            case "grid":
                return samplers.GridSampler(grid(plan), seed=study.seed)
        return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def pruner(scheduler: str, passes: int) -> optuna.pruners.BasePruner:
    """Return the rule of early stopping; its rungs are passes over the data.

    Asynchronous successive halving keeps a third at each rung, first at a ninth of the schedule
    (A System for Massively Parallel Hyperparameter Tuning, Li et al., 2020, algorithm 2).
    """
    pruners = optuna.pruners
    first = max(1, math.ceil(passes / 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match scheduler:
            case "asha":
                return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
            case "hyperband":
                return pruners.HyperbandPruner(
                    min_resource=first, max_resource=max(passes, first), reduction_factor=3
                )
            case "median":
                return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    return pruners.NopPruner()


def grid(plan: "Plan") -> dict[str, list["Scalar"]]:
    """Return the grid of a study: all choices, and up to five values of every range."""
    if len(plan.branches) > 1:
        raise UsageError(
            "sampler 'grid' lays one grid: name one method, or choose another sampler"
        )
    branch = next(iter(plan.branches.values()))
    cells = {f"{branch.method}.{p.name}": _values(p) for p in branch.space.parameters.values()}
    count = math.prod(len(values) for values in cells.values())
    if count > _MOST_CELLS:
        raise UsageError(
            f"sampler 'grid' would lay {count:,} cells, at most {_MOST_CELLS:,} are allowed: "
            "fix settings with --set, or choose another sampler"
        )
    return cells


def _values(parameter: "Parameter") -> list["Scalar"]:
    if parameter.kind == "choice":
        return list(parameter.choices)
    space = np.geomspace if parameter.log else np.linspace
    points = space(parameter.low, parameter.high, _GRID_POINTS)
    if parameter.kind == "int":
        return [int(value) for value in np.unique(points.round().astype(int))]
    return [float(value) for value in np.clip(points, parameter.low, parameter.high)]
