"""The two steps of EM over a stack of autoencoders, sparing of work that counts for little.

Deep Generative Clustering with VAEs and Expectation-Maximization (Adipoetra, Martin, 2025),
Algorithm 1. Done to the letter, every network sees every point in both steps, most of them with a
weight that is nearly zero.
"""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import State
from .._kit.networks import Draws
from .networks import EMVAENetwork, by_point, for_stack

DECIDED = 20.0
"""Nats, in units of T, by which a cluster must lie behind at one draw to get no further ones.

Its share of the point is then below 1e-8. One draw is off by 2 nats on MNIST (weight 1) and by 2
to 6 on digits (weights 10 to 50): of the clusters truly within 5 nats of the best, it loses less
than one in a hundred at the first E-step and one in a thousand later on.
"""


@final
class Responsibilities:
    """The shares u (R, N, K) of the points, once there are data."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.u: Tensor | None = None

    def state(self) -> State:
        """Return u, nothing before there are data."""
        return {} if self.u is None else {"u": self.u}

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up u."""
        u = state.get("u")
        self.u = u.to(self.device).clone() if isinstance(u, Tensor) else None


def owned(u: Tensor, count: int, draws: Draws) -> Tensor:
    """Return `count` points for every network, drawn by its responsibilities, (R·K, count).

    Point i appears count · u_ik / Σ_i u_ik times for network k, rounded up or down at random
    (systematic resampling), in random order. The mean of a cost over them, times the network's
    share Σ_i u_ik / N, is an unbiased estimate of Σ_i u_ik cost_k(x_i) / N: the M-step's loss, at
    a fraction of the price. Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space
    Models (Kitagawa, 1996).
    """
    K = u.shape[2]
    ladder = u.transpose(1, 2).flatten(0, 1).double().cumsum(-1)
    offsets = draws.uniform(K, 1).flatten(0, 1).double()
    steps = (torch.arange(count, device=u.device) + offsets) / count
    points = torch.searchsorted(ladder, steps * ladder[:, -1:]).clamp(max=u.shape[1] - 1)
    return points.gather(1, draws.uniform(K, count).flatten(0, 1).argsort(dim=1))


@torch.no_grad()
def revive(
    u: Tensor,
    below: float,
    codes: Callable[[int], Tensor],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Give every cluster with less mass than `below` N/K half of the heaviest one.

    Its network, one of R·K in every parameter, becomes a copy of the heaviest's, Adam's moments
    included. In u (R, N, K) it takes over the points that lie beyond the mean of the heaviest's
    `codes`, (N, D) by its index among the R·K, on their widest axis: the M-step drives the two
    apart.
    """
    K = u.shape[2]
    for r, k in (u.mean(1) < below / K).nonzero().tolist():
        heaviest = int(u[r].mean(0).argmax())
        z, mass = codes(r * K + heaviest), u[r, :, heaviest, None]
        away = z - (mass * z).sum(0) / mass.sum()
        axis = (mass * away.square()).sum(0).argmax()
        moved = torch.where(away[:, axis] > 0, u[r, :, heaviest], 0)
        u[r, :, k] += moved
        u[r, :, heaviest] -= moved
        for weight in network.parameters():
            moments = optimiser.state[weight].values()
            for tensor in (weight, *(m for m in moments if m.shape == weight.shape)):
                tensor[r * K + k] = tensor[r * K + heaviest]


def weighted_share(start: str, K: int) -> float:
    """Return which share of a batch, drawn from its own points, tells a network as much as all.

    n points with weights u tell as much as n (Σu)² / (n Σu²) without: all of them where all u are
    equal, half at a random start (Dirichlet(1)), a K-th where every point has one owner. On MNIST
    it is three K-ths after the first E-step and falls towards one: three are taken throughout. It
    may not depend on u itself, or replicas side by side would not train as they do alone.
    """
    known = {"uniform": 1.0, "random": 0.5}
    return min(1.0, known.get(start, 3 / K))


def refined(network: EMVAENetwork, x: Tensor, M: int, draws: Draws) -> Tensor:
    """Return the ELBO of every cluster at every point of x (B, F), (R, B, K).

    One draw of the code for every cluster; the mean of M draws for those that it leaves in
    question, `DECIDED` tells which. A point's draws are the same for all its clusters, so that no
    replica's random numbers depend on what is in question elsewhere.
    """
    vaes, K = network.vaes, network.K
    batch = for_stack(x, vaes.stack)
    q = vaes.encode(batch)
    mean, scale = q.base_dist.mean, q.base_dist.stddev
    noise = draws.normal(len(x), M, mean.shape[2]).repeat_interleave(K, dim=0)
    reconstruction, kl = vaes.costs(batch, q, mean + scale * noise[:, :, 0])
    elbo = -reconstruction - kl
    if M == 1:
        return by_point(elbo, K)
    open_ = _in_question(by_point(elbo, K), DECIDED * network.temperature)
    rows, kept = _rows(open_.transpose(1, 2).flatten(0, 1))
    if rows.shape[1] == 0:
        return by_point(elbo, K)
    few = rows.unsqueeze(-1).expand(-1, -1, mean.shape[2])
    mean, scale = mean.gather(1, few).unsqueeze(1), scale.gather(1, few).unsqueeze(1)
    more = noise[:, :, 1:].gather(1, few.unsqueeze(2).expand(-1, -1, M - 1, -1)).transpose(1, 2)
    again = vaes.reconstruction(x[rows], (mean + scale * more).flatten(1, 2))
    first = reconstruction.gather(1, rows)
    better = torch.where(kept, (again * (M - 1) + first) / M, first)
    return by_point(-reconstruction.scatter(1, rows, better) - kl, K)


def _in_question(elbo: Tensor, margin: float) -> Tensor:
    """Return which clusters (R, B, K) are within the margin of a point's best, if not alone."""
    near = elbo >= elbo.amax(-1, keepdim=True) - margin
    return near & (near.sum(-1, keepdim=True) > 1)


def _rows(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the chosen points of every network first, (S, most), and which of them are chosen."""
    most = int(chosen.sum(-1).max())
    kept, rows = chosen.to(torch.uint8).sort(dim=1, descending=True, stable=True)
    return rows[:, :most], kept[:, :most].bool()
