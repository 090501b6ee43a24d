"""How well a choice without labels did, where labels exist; nothing here takes part in it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..methods import catalog
from .metrics import audit
from .objective import NeighbourGraph, evaluate

if TYPE_CHECKING:
    from ..data import Dataset
    from ..ledger.ledger import Entry

_MOST_POINTS = 20_000


def kmeans_on_test(dataset: "Dataset", n_components: int, seed: int) -> NDArray[np.float32]:
    """Return log p(cluster | x) of the test points by k-means on the training points, (N, K)."""
    owner = catalog.method("kmeans")
    config = owner.config_type.from_mapping({"n_components": n_components})
    method = owner(config, dataset.shape, [seed])
    for _ in method.fit(torch.tensor(dataset.train[:_MOST_POINTS])):
        pass
    answer: NDArray[np.float32] = method.predict_log_proba(torch.tensor(dataset.test))[0].numpy()
    return answer


def test_score(graph: NeighbourGraph, log_proba: NDArray[np.float32]) -> float:
    """Return the score of one partition of the test points, log-probabilities (N, K)."""
    return evaluate(graph, log_proba[None, graph.index]).value


def search_audit(
    dataset: "Dataset",
    entries: Sequence["Entry"],
    chosen: int,
    champion: Mapping[str, float],
    kmeans: NDArray[np.float32],
) -> dict[str, Any] | None:
    """Return the audit of a search, None without labels.

    The champion's figures and k-means' are on the test split. Over the complete trials,
    `rank_correlation` is Spearman's between value and `measure`, `regret` the best trial's
    measure less that of trial `chosen`. The measure is hungarian accuracy, and AMI where trials
    differ in K, since accuracy grows with K.
    """
    if dataset.test_labels is None:
        return None
    complete = [e for e in entries if e.state == "COMPLETE" and "metrics" in e.outcome]
    sizes = {e.searched.get("n_components") for e in complete}
    measure = "hungarian" if len(sizes) == 1 else "ami"
    quality = {e.number: e.outcome["metrics"].get(f"audit/{measure}", 0.0) for e in complete}
    values = [e.value or 0.0 for e in complete]
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
    """Return Spearman's correlation, None where either side does not vary."""
    if len(set(values)) < 2 or len(set(quality)) < 2:
        return None
    return float(spearmanr(values, quality).statistic)
