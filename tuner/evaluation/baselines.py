"""Baselines for a search: the k-means partition, and the score of any partition."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..methods import catalog
from .graph import NeighbourGraph
from .objective import evaluate

if TYPE_CHECKING:
    from ..data import Dataset

_MAX_POINTS = 20_000


def kmeans_on_test(dataset: "Dataset", n_components: int, seed: int) -> NDArray[np.float32]:
    """Return log p(cluster | x), (N, K), of the test points by k-means on training points."""
    method_type = catalog.method("kmeans")
    config = method_type.config_type.from_mapping({"n_components": n_components})
    method = method_type(config, dataset.shape, [seed])
    for _ in method.fit(torch.tensor(dataset.train[:_MAX_POINTS])):
        pass
    x_test = torch.tensor(dataset.test)
    log_proba: NDArray[np.float32] = method.predict_log_proba(x_test)[0].numpy()
    return log_proba


def test_score(graph: NeighbourGraph, log_proba: NDArray[np.float32]) -> float:
    """Return the score of one partition of the test points, given as log-probabilities (N, K)."""
    return evaluate(graph, log_proba[None, graph.index]).value
