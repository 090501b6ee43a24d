"""Virtual adversarial training: assignments that hardly depend on small changes of a point.

A boundary between clusters then avoids regions where points are dense.
"""

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...methods.config import Config, setting
from .draws import Draws
from .neighbours import evenly_spaced

_NEIGHBOUR = 10
_QUERIES, _REFERENCES = 1000, 10_000


@dataclass(frozen=True, kw_only=True)
class SmoothnessConfig(Config, ABC):
    """Settings of virtual adversarial training."""

    vat_weight: float = setting(
        0.0, "weight of the divergence under the small change that matters most", low=0.0
    )
    vat_radius: float = setting(
        0.25, "size of that change", unit="of the distance to the tenth neighbour", low=0.0
    )

    def radius(self, x: Tensor) -> Tensor:
        """Return the length of the changes of points x (N, F), a scalar; 0 without a weight."""
        if self.vat_weight == 0:
            return torch.zeros((), device=x.device)
        return self.vat_radius * neighbour_distance(x)


def neighbour_distance(x: Tensor) -> Tensor:
    """Return the mean distance of points x (N, F) to their tenth neighbour, a scalar.

    It is taken among at most 10,000 of the points, which are evenly spaced in their order.
    """
    references, queries = x[evenly_spaced(x, _REFERENCES)], x[evenly_spaced(x, _QUERIES)]
    distances = torch.cdist(queries, references)
    nearest = distances.topk(min(_NEIGHBOUR + 1, len(references)), largest=False).values
    return nearest[:, -1].mean()


def virtual_adversarial_divergence(
    assign: Callable[[Tensor], Tensor], x: Tensor, log_p: Tensor, radius: Tensor, draws: Draws
) -> Tensor:
    """Return the mean of KL(p(x) ‖ q(x + r)) in nats, (R,), of x (R, B, F).

    `assign` maps points to log q (R, B, K), and `log_p` is what it gives at x. r has the length
    `radius` and the direction in which the divergence grows fastest, found by one gradient at a
    random change of that length. No gradient flows through p.

    Virtual Adversarial Training (Miyato et al., 2018), Algorithm 1. Learning Discrete
    Representations via Information Maximizing Self-Augmented Training (Hu et al., 2017) clusters
    with it, and takes a quarter of the distance to the tenth neighbour as the radius.
    """
    log_p = log_p.detach()
    change = (radius * _directions(draws.normal(*x.shape[1:]))).requires_grad_()
    (gradient,) = torch.autograd.grad(_divergence(log_p, assign(x + change)).sum(), change)
    worst = radius * _directions(gradient)
    return _divergence(log_p, assign(x + worst)).mean(dim=1)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def _directions(x: Tensor) -> Tensor:
    tiny = torch.finfo(x.dtype).tiny
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=tiny)
