"""Reference partitions that a search is held against: k-means, and how any is scored."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..methods import catalog
from .objective import NeighbourGraph, evaluate

if TYPE_CHECKING:
    from ..data import Dataset

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
