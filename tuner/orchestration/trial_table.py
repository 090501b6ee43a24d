"""The trials of a search as a data frame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord

COLUMNS = ("number", "state", "method", "value", "sd", "epochs", "seconds", "reason")


def trial_table(trials: "Sequence[TrialRecord]") -> pd.DataFrame:
    """Return a row for each trial, and a column for each setting behind those that all have."""
    settings = list(dict.fromkeys(name for trial in trials for name in trial.params))
    # a setting may have the name of a column, such as `epochs`
    own = [f"settings.{name}" if name in COLUMNS else name for name in settings]
    rows = [[*_row(trial), *(trial.params.get(name) for name in settings)] for trial in trials]
    return pd.DataFrame(rows, columns=[*COLUMNS, *own])


def _row(trial: "TrialRecord") -> list[Any]:
    outcome = trial.outcome
    value = float("nan") if trial.value is None else trial.value
    epochs = outcome.get("epoch", max(trial.intermediate_values, default=0))
    seconds = float("nan") if trial.ended is None else trial.ended - trial.started
    return [
        trial.number,
        trial.state,
        trial.method,
        value,
        float(outcome.get("sd", 0.0)),
        int(epochs),
        seconds,
        outcome.get("reason") or "",
    ]
