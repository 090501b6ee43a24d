"""Audit of a search: how good its choices are according to the labels, if there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from .metrics import audit

if TYPE_CHECKING:
    from ..data import Dataset


@dataclass(frozen=True, kw_only=True)
class CompleteTrial:
    """The value, K and last metrics of a complete trial.

    `n_components` is None if K was not searched.
    """

    number: int
    value: float
    n_components: int | None
    metrics: Mapping[str, float]


def search_audit(
    dataset: "Dataset",
    trials: Sequence[CompleteTrial],
    chosen: int,
    champion: Mapping[str, float],
    kmeans: NDArray[np.float32],
) -> dict[str, Any] | None:
    """Return the audit of a search, None without labels.

    The metrics of the champion and of k-means are on the test split. Over the complete trials,
    `rank_correlation` is Spearman's correlation of value and `measure`, and `regret` is the
    measure of the best trial minus that of trial `chosen`. The measure is hungarian accuracy, or
    AMI if trials differ in K, since accuracy grows with K.
    """
    if dataset.test_labels is None:
        return None
    sizes = {trial.n_components for trial in trials}
    measure = "hungarian" if len(sizes) == 1 else "ami"
    quality = {trial.number: trial.metrics.get(f"audit/{measure}", 0.0) for trial in trials}
    values = [trial.value for trial in trials]
    baseline = audit(kmeans, dataset.test_labels)
    return {
        **champion,
        "split": "test",
        "kmeans_hungarian": baseline["hungarian"],
        "kmeans_ami": baseline["ami"],
        "margin_over_kmeans": champion["hungarian"] - baseline["hungarian"],
        "measure": measure,
        "rank_correlation": _rank_correlation(values, list(quality.values())),
        "regret": max(quality.values()) - quality[chosen],
    }


def _rank_correlation(values: Sequence[float], quality: Sequence[float]) -> float | None:
    """Return Spearman's correlation, None if one of the two is constant."""
    if len(set(values)) < 2 or len(set(quality)) < 2:
        return None
    return float(spearmanr(values, quality).statistic)
