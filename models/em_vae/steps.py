"""The two steps of EM over a stack of autoencoders, without work of negligible weight.

Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, 2025),
Algorithm 1. In the paper's algorithm every network processes every point in both steps, most of
them with a weight near zero.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import State
from .._kit.draws import Draws
from .._kit.parts import rows
from .networks import EMVAENetwork, expand_to_stack, unstack_clusters

DECISIVE_MARGIN = 20.0
"""Clusters this far below a point's best at one draw get no further draws, in nats times T.

Their responsibility is then below 1e-8. One draw has an error of 2 nats on MNIST (weight 1) and 2
to 6 nats on digits (weights 10 to 50). Of the clusters truly within 5 nats of the best, this drops
less than 1 in 100 in the first E-step and less than 1 in 1000 later.
"""


@final
class Responsibilities:
    """Holds the responsibilities u (R, N, K) between epochs, None before the first."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.u: Tensor | None = None

    def state(self) -> State:
        """Return u, or an empty state before the first epoch."""
        return {} if self.u is None else {"u": self.u}

    def selected(self, replicas: Sequence[int]) -> State:
        """Return u of these replicas, or an empty state before the first epoch."""
        return {} if self.u is None else {"u": rows(self.u, replicas, len(self.u))}

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore u."""
        u = state.get("u")
        self.u = u.to(self.device).clone() if isinstance(u, Tensor) else None


def systematic_resample(u: Tensor, count: int, draws: Draws) -> Tensor:
    """Return `count` point indices for every network, drawn by responsibility, (R·K, count).

    Point i appears count · u_ik / Σ_i u_ik times for network k, rounded up or down at random
    (systematic resampling), in random order. The mean of a cost over them, times the network's
    share Σ_i u_ik / N, is an unbiased estimate of the M-step's loss Σ_i u_ik cost_k(x_i) / N, at
    a fraction of the cost. Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space
    Models (Kitagawa, 1996).
    """
    K = u.shape[2]
    cumulative = u.transpose(1, 2).flatten(0, 1).double().cumsum(-1)
    offsets = draws.uniform(K, 1).flatten(0, 1).double()
    steps = (torch.arange(count, device=u.device) + offsets) / count
    points = torch.searchsorted(cumulative, steps * cumulative[:, -1:]).clamp(max=u.shape[1] - 1)
    return points.gather(1, draws.uniform(K, count).flatten(0, 1).argsort(dim=1))


@torch.no_grad()
def revive_clusters(
    u: Tensor,
    below: float,
    codes: Callable[[int], Tensor],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Give every cluster with less mass than `below` · N/K half of the largest cluster.

    The small cluster's network, one of R·K in every parameter, becomes a copy of the largest's,
    with Adam's moments. `codes` maps an index among the R·K to the codes (N, D) of that network.
    In u (R, N, K), modified in place, the small cluster takes over the largest's points that lie
    above the mean code on the axis of the highest variance. The M-step then separates the two.
    """
    K = u.shape[2]
    for r, k in (u.mean(1) < below / K).nonzero().tolist():
        largest = int(u[r].mean(0).argmax())
        z, mass = codes(r * K + largest), u[r, :, largest, None]
        offset = z - (mass * z).sum(0) / mass.sum()
        axis = (mass * offset.square()).sum(0).argmax()
        moved = torch.where(offset[:, axis] > 0, u[r, :, largest], 0)
        u[r, :, k] += moved
        u[r, :, largest] -= moved
        for weight in network.parameters():
            moments = optimiser.state[weight].values()
            for tensor in (weight, *(m for m in moments if m.shape == weight.shape)):
                tensor[r * K + k] = tensor[r * K + largest]


def effective_share(start: str, K: int) -> float:
    """Return the effective size of a weighted batch as a share of its points.

    A resampled batch of that size is as informative as all points with weights u. The share is
    (Σu)² / (n Σu²): 1 if all u are equal, 1/2 at a random start (Dirichlet(1)), and 1/K if every
    point belongs to one cluster. On MNIST it is 3/K after the first E-step and falls towards 1/K,
    so 3/K is used throughout. It must not depend on u, or replicas would affect each other.
    """
    shares = {"uniform": 1.0, "random": 0.5}
    return min(1.0, shares.get(start, 3 / K))


def adaptive_elbo(network: EMVAENetwork, x: Tensor, M: int, draws: Draws) -> Tensor:
    """Return the ELBO of every cluster at every point of x (B, F), (R, B, K).

    The ELBO is estimated from one draw of the code. Where several clusters are within
    `DECISIVE_MARGIN` of a point's best, theirs is the mean of M draws. A point's noise is the same
    for all its clusters, so a replica's random numbers do not depend on the other replicas.
    """
    vaes, K = network.vaes, network.K
    batch = expand_to_stack(x, vaes.stack)
    q = vaes.encode(batch)
    mean, scale = q.base_dist.mean, q.base_dist.stddev
    noise = draws.normal(len(x), M, mean.shape[2]).repeat_interleave(K, dim=0)
    reconstruction, kl = vaes.loss_terms(batch, q, mean + scale * noise[:, :, 0])
    elbo = -reconstruction - kl
    if M == 1:
        return unstack_clusters(elbo, K)
    undecided = _undecided(unstack_clusters(elbo, K), DECISIVE_MARGIN * network.temperature)
    rows, selected = _selected_first(undecided.transpose(1, 2).flatten(0, 1))
    if rows.shape[1] == 0:
        return unstack_clusters(elbo, K)
    index = rows.unsqueeze(-1).expand(-1, -1, mean.shape[2])
    mean, scale = mean.gather(1, index).unsqueeze(1), scale.gather(1, index).unsqueeze(1)
    rest = noise[:, :, 1:].gather(1, index.unsqueeze(2).expand(-1, -1, M - 1, -1)).transpose(1, 2)
    others = vaes.reconstruction_error(x[rows], (mean + scale * rest).flatten(1, 2))
    first = reconstruction.gather(1, rows)
    refined = torch.where(selected, (others * (M - 1) + first) / M, first)
    return unstack_clusters(-reconstruction.scatter(1, rows, refined) - kl, K)


def _undecided(elbo: Tensor, margin: float) -> Tensor:
    """Return which clusters (R, B, K) are within the margin of a point's best, if several are."""
    near = elbo >= elbo.amax(-1, keepdim=True) - margin
    return near & (near.sum(-1, keepdim=True) > 1)


def _selected_first(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return each network's selected points first, (S, most), and which of them are selected.

    On a GPU all points are returned: how many are selected would have to be waited for.
    """
    most = mask.shape[1] if mask.is_cuda else int(mask.sum(-1).max())
    selected, rows = mask.to(torch.uint8).sort(dim=1, descending=True, stable=True)
    return rows[:, :most], selected[:, :most].bool()
