"""Partitions that a training may start from."""

import warnings

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from ..errors import DataError
from ._nets import Draws


def random_responsibilities(n: int, K: int, draws: Draws) -> Tensor:
    """Return draws from Dirichlet(1) for n points of every replica, (R, n, K)."""
    exponential = -torch.log1p(-draws.uniform(n, K))
    return exponential / exponential.sum(-1, keepdim=True)


def kmeans_partition(x: Tensor, K: int, seed: int) -> Tensor:
    """Return the best of three k-means partitions of x (N, F), (N,)."""
    if len(x) < K:
        raise DataError(
            f"{len(x)} points make no {K} k-means clusters: lower n_components or set start=random"
        )
    with warnings.catch_warnings():  # fewer distinct points than clusters: some stay empty
        warnings.simplefilter("ignore")
        fitted = KMeans(K, n_init=3, random_state=seed % 2**32).fit(x.numpy(force=True))
    return torch.as_tensor(fitted.labels_, dtype=torch.int64)
