"""The parameters of a new trial, as Optuna stores them: `method.setting`, parents first."""

from typing import TYPE_CHECKING, Any

import optuna

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..study.branches import Branch
    from ..study.plan import Plan

METHOD = "method"
"""The parameter of a trial that names its method, where a study has several."""


def preset_params(plan: "Plan", number: int) -> dict[str, Any] | None:
    """Return the parameters of one of the first trials, which take the methods' own settings.

    They are None for all later ones.
    """
    presets = [(branch.method, each) for branch in plan.beginning for each in branch.presets]
    if number >= len(presets):
        return None
    method, settings = presets[number]
    params: dict[str, Any] = {f"{method}.{key}": value for key, value in settings.items()}
    return params if len(plan.branches) == 1 else {**params, METHOD: method}


def propose(trial: optuna.Trial, plan: "Plan") -> tuple[str, dict[str, "Scalar"]]:
    """Return the method of a trial and its parameters, new ones from the study's sampler."""
    names = list(plan.branches)
    method = names[0]
    if len(names) > 1:
        method = trial.suggest_categorical(METHOD, names)
    return method, _suggest(trial, plan.branches[method])


def _suggest(trial: optuna.Trial, branch: "Branch") -> dict[str, "Scalar"]:
    """Suggest the parameters of a space, parents first.

    A setting whose conditions do not hold keeps its base value.
    """
    settings = dict(branch.base)
    params: dict[str, Scalar] = {}
    for name, parameter in branch.space.parameters.items():
        if not parameter.applies(settings):
            continue
        key = f"{branch.method}.{name}"
        value = parameter.suggest(trial, key)
        settings[name] = params[name] = value
    return params
