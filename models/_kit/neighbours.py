"""A small neighbour graph, used to choose among the starts of a method."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def neighbours(x: Tensor, *, limit: int = 3000, k: int = 10) -> tuple[Tensor, Tensor]:
    """Return the indices (n,) of a subset of x (N, F) and the k nearest neighbours in it, (n, k).

    The subset is at most `limit` points, evenly spaced in x. Neighbours are positions in it.
    """
    n = min(len(x), limit)
    index = torch.linspace(0, len(x) - 1, n, device=x.device).round().long()
    distance = torch.cdist(x[index], x[index]).fill_diagonal_(math.inf)
    return index, distance.topk(min(k, max(n - 1, 1)), largest=False).indices


def assortativity(labels: Tensor, nearest: Tensor, components: int) -> Tensor:
    """Return how well clusters (…, n) agree with nearest neighbours (n, k), shape (…).

    The share of edges within a cluster, minus its expectation for random edges between the same
    ends, over the most that this difference can be; 0 for a single cluster. Unlike the difference
    itself, the modularity, it does not favour clusters of equal size. Mixing Patterns in Networks
    (Newman, 2003), equation 2.
    """
    own = F.one_hot(labels, components).float()
    neighbour = own[..., nearest, :].mean(dim=-2)
    inside = (own * neighbour).sum(dim=-1).mean(dim=-1)
    expected = (own.mean(dim=-2) * neighbour.mean(dim=-2)).sum(dim=-1)
    return (inside - expected) / (1 - expected).clamp_min(1e-6)
