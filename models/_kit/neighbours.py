"""Nearest neighbours, and the small graph by which a method chooses among its starts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 2000


def neighbours(x: Tensor, *, limit: int = 3000, k: int = 10) -> tuple[Tensor, Tensor]:
    """Return the indices (n,) of a subset of x (N, F) and the k nearest neighbours in it, (n, k).

    The subset is at most `limit` points, evenly spaced in x. Neighbours are positions in it.
    """
    n = min(len(x), limit)
    index = torch.linspace(0, len(x) - 1, n, device=x.device).round().long()
    everyone = torch.arange(n, device=x.device)
    return index, nearest_references(x[index], everyone, min(k, max(n - 1, 1)))


def evenly_spaced(x: Tensor, most: int) -> Tensor:
    """Return at most so many positions in x (N, F), evenly spaced from the first on, (n,)."""
    return torch.arange(0, len(x), -(-len(x) // most), device=x.device)


def nearest_references(x: Tensor, references: Tensor, k: int) -> Tensor:
    """Return the k points at some positions of x (N, F) that are nearest to each point, (N, k).

    They are given as positions in `references`; a point is no neighbour of its own.
    """
    found = []
    for part in torch.arange(len(x), device=x.device).split(_CHUNK):
        distance = torch.cdist(x[part], x[references])
        distance.masked_fill_(part.unsqueeze(1) == references, math.inf)
        found.append(distance.topk(k, largest=False).indices)
    return torch.cat(found)


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
