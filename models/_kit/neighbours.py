"""A small graph of nearest neighbours, by which a method chooses among its own starts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def neighbours(x: Tensor, *, limit: int = 3000, k: int = 10) -> tuple[Tensor, Tensor]:
    """Return which points (n,) of x (N, F) were looked at, and their k nearest ones (n, k).

    At most `limit` points take part, evenly spaced in x; a neighbour is a position among them.
    """
    n = min(len(x), limit)
    index = torch.linspace(0, len(x) - 1, n, device=x.device).round().long()
    apart = torch.cdist(x[index], x[index]).fill_diagonal_(math.inf)
    return index, apart.topk(min(k, max(n - 1, 1)), largest=False).indices


def modularity(labels: Tensor, nearest: Tensor, components: int) -> Tensor:
    """Return how well clusters (…, n) follow neighbourhoods (n, k), shape (…).

    The share of edges that stay within a cluster, minus what random edges of the same ends would
    have. Finding and Evaluating Community Structure in Networks (Newman & Girvan, 2004), eq. 5.
    """
    hot = F.one_hot(labels, components).float()
    theirs = hot[..., nearest, :].mean(dim=-2)
    inside = (hot * theirs).sum(dim=-1).mean(dim=-1)
    return inside - (hot.mean(dim=-2) * theirs.mean(dim=-2)).sum(dim=-1)
