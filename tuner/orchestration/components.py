"""The number of clusters that a search takes, and how sure the trials are of it."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..ledger.outcomes import is_usable

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord

_SETTING = "n_components"


def components(
    trials: Sequence["TrialRecord"], *, chosen: int, replicas: int
) -> dict[str, Any] | None:
    """Return the best trial of every number of clusters, None if the search had only one.

    `plausible` are the lowest and the highest number whose best trial is within one standard
    error of the difference from the best of all, after the rule of Classification and Regression
    Trees (Breiman et al., 1984), and the chosen one. `effective` is the exponential of the entropy
    of the masses: clusters that are empty or nearly so do not count.
    """
    best: dict[int, TrialRecord] = {}
    usable = (t for t in trials if t.state == "COMPLETE" and is_usable(t) and _SETTING in t.params)
    for trial in sorted(usable, key=_value):
        best[int(trial.params[_SETTING])] = trial
    if len(best) < 2:
        return None
    rows = [_row(k, best[k]) for k in sorted(best)]
    highest = max(rows, key=lambda row: row["score"])
    plausible = [chosen] + [row[_SETTING] for row in rows if _is_near(row, highest, replicas)]
    return {"chosen": chosen, "plausible": [min(plausible), max(plausible)], "scores": rows}


def _is_near(row: Mapping[str, Any], highest: Mapping[str, Any], replicas: int) -> bool:
    error = math.hypot(row["sd"], highest["sd"]) / math.sqrt(replicas)
    return bool(highest["score"] - row["score"] <= error)


def _row(k: int, trial: "TrialRecord") -> Mapping[str, Any]:
    return {
        _SETTING: k,
        "effective": trial.outcome.get("metrics", {}).get("score/effective_k"),
        "trial": trial.number,
        "score": _value(trial),
        "sd": float(trial.outcome.get("sd", 0.0)),
    }


def _value(trial: "TrialRecord") -> float:
    return trial.value or 0.0
