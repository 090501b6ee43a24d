"""How much the value of a trial depends on each setting, by Optuna."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import optuna
from optuna.importance import get_param_importances
from optuna.trial import TrialState

from .proposals import METHOD

if TYPE_CHECKING:
    from .ledger import Ledger

MIN_TRIALS = 10
"""Complete trials of a method below which importances would be mostly chance."""


@final
@dataclass(frozen=True, kw_only=True)
class Importances:
    """The shares of settings in the variation of the value of one method's trials, in sum 1.

    `omitted` says in a sentence why there are none.
    """

    method: str
    trials: int
    shares: Mapping[str, float] = field(default_factory=dict)
    omitted: str = ""


def importances(ledger: "Ledger", methods: Sequence[str]) -> list[Importances]:
    """Return the importances of the settings of each method over its complete trials.

    They are those of PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces (Watanabe et al., 2023).
    """
    found = []
    only = methods[0] if len(methods) == 1 else None
    complete = ledger.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for method in methods:
        own = [trial for trial in complete if only or trial.params.get(METHOD) == method]
        found.append(_of_method(method, own))
    return found


def _of_method(method: str, trials: Sequence[optuna.trial.FrozenTrial]) -> Importances:
    omitted = ""
    if len(trials) < MIN_TRIALS:
        omitted = (
            f"too few complete trials ({len(trials)}) to say which settings matter: at least "
            f"{MIN_TRIALS} are needed"
        )
    elif len({trial.value for trial in trials}) == 1:
        omitted = "all complete trials have the same value, so no setting matters"
    else:
        try:
            shares = _shares(trials)
        except Exception as error:  # Optuna raises errors of many types
            omitted = f"Optuna could not tell which settings matter ({error})"
        else:
            return Importances(method=method, trials=len(trials), shares=shares)
    return Importances(method=method, trials=len(trials), omitted=omitted)


def _shares(trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, float]:
    names = sorted({name for trial in trials for name in trial.params} - {METHOD})
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    study.add_trials(list(trials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(study, params=names)
    return {name.split(".", 1)[1]: float(share) for name, share in found.items()}
