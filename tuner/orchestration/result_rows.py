"""The parts of a search's result, from what the ledger and the registry hold."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..evaluation.audit import CompleteTrial
from ..evaluation.structureless import MIN_EXCESS, Structure
from .result import Champion

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from ..registry.challenger import PromotionOutcome
    from ..training.finalist import Finalist

_FAR = 0.1  # below the score of Louvain, which optimises a quantity of the same graph


def unclustered_sentence(structure: Structure) -> str:
    """Return that the data show no clusters, in one sentence."""
    if structure.p_value is None or structure.excess is None:
        return "too few points to test for clusters"
    return (
        f"no clusters: the best partition is not separated clearly better than those of "
        f"structureless clouds (p = {structure.p_value:.2f}; excess {structure.excess:.2f} over "
        f"the kind {structure.cloud}, required: {MIN_EXCESS:.2f}), so nothing was registered; "
        "register it anyway with --allow-unclustered"
    )


def baseline_notes(score: float, baselines: Mapping[str, float]) -> list[str]:
    """Return what is to be said of a model that simple methods beat on the same graph."""
    notes = []
    kmeans, louvain = baselines.get("kmeans", -math.inf), baselines.get("louvain", -math.inf)
    if score < kmeans:
        notes.append(
            f"the model scores {score:.3f} on the test split, less than k-means on the input "
            f"({kmeans:.3f}): search more trials or another method, or use k-means"
        )
    if score < louvain - _FAR:
        notes.append(
            f"the model scores {score:.3f} on the test split, far less than Louvain on the graph "
            f"of neighbours ({louvain:.3f}): better clusters are there to be found, so search "
            "more trials, another method or another number of clusters"
        )
    return notes


def finalist_notes(trial: int, score: float, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return that a finalist that was not chosen scores far higher on the test split, if one does.

    `trial` and `score` are those of the chosen replica.
    """
    others = [row for row in rows if not row["failure"] and row["trial"] != trial]
    ahead = max(others, key=lambda row: float(row["chosen"]), default=None)
    if ahead is None or ahead["chosen"] <= score + _FAR:
        return []
    return [
        f"trial {ahead['trial']} scores {ahead['chosen']:.3f} on the test split, trial {trial} "
        f"{score:.3f}: the choice went by the training points, where trial {trial} is ahead, and "
        "scores on few test points are uncertain, so look at the clusters, or give more data"
    ]


def complete(trials: Sequence["TrialRecord"]) -> list[CompleteTrial]:
    """Return the complete trials in the form that the audit needs."""
    return [
        CompleteTrial(
            number=trial.number,
            value=trial.value or 0.0,
            n_components=trial.params.get("n_components"),  # type: ignore[arg-type]  # an int
            metrics=trial.outcome["metrics"],
        )
        for trial in trials
        if trial.state == "COMPLETE" and "metrics" in trial.outcome
    ]


def best_row(trial: "TrialRecord") -> dict[str, Any]:
    """Return the best trial."""
    return {
        "number": trial.number,
        "method": trial.method,
        "params": dict(trial.params),
        "score": trial.value,
        "sd": trial.outcome.get("sd", 0.0),
    }


def champion_of(
    challenger: "Finalist", decision: "PromotionOutcome", *, confidence: float | None
) -> Champion:
    """Return the registered version, and whether it was promoted."""
    name, number = decision.version.name, decision.version.number
    return Champion(
        name=name,
        version=number,
        uri=f"models:/{name}@champion" if decision.promoted else f"models:/{name}/{number}",
        promoted=decision.promoted,
        score=challenger.scores[challenger.best],
        interval=list(decision.interval or ()),
        n_components=int(challenger.settings["n_components"]),
        trial=challenger.number,
        confidence=confidence,
    )


def finalist_row(finalist: "Finalist") -> dict[str, Any]:
    """Return the scores of a finalist on the test split, and its accuracy where there are labels.

    `chosen` is the score of the replica that was chosen on the training points, which need not be
    the best one on the test split.
    """
    row = {
        "trial": finalist.number,
        "method": finalist.method,
        "score": finalist.mean,
        "sd": finalist.sd,
        "chosen": finalist.scores[finalist.best] if finalist.is_usable else 0.0,
        "failure": finalist.failure,
    }
    if finalist.restarts > 1:
        row |= {"restarts": finalist.restarts, "halved": list(finalist.halved)}
    hungarian = [audit["hungarian"] for audit in finalist.audits]
    if hungarian:
        row |= {"hungarian": sum(hungarian) / len(hungarian), "hungarian_each": hungarian}
    return row
