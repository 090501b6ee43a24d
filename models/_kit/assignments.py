"""Penalties on assignments that change with a point's copy, are rough, unbalanced or uncertain.

Together they make the assignments informative about the points and insensitive to what does not
matter. Learning Discrete Representations via Information Maximizing Self-Augmented Training (Hu et
al., 2017).
"""

import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...methods.config import setting
from ...methods.contract import Shape
from .augmentation import AugmentationConfig
from .distributions import symmetric_divergence
from .draws import Draws
from .loop import gradient_step
from .precision import mixed_precision
from .recording import Metrics, Step
from .smoothness import SmoothnessConfig, virtual_adversarial_divergence

Assign = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class AssignmentConfig(AugmentationConfig, SmoothnessConfig, ABC):
    """Weights of the penalties, in nats of a method's loss; 0 leaves one out."""

    augmentation_weight: float = setting(
        0.0, "weight of the divergence between the assignments of a point and its copy", low=0.0
    )
    balance_weight: float = setting(
        0.0, "weight of the gap between the mean assignment's entropy and its maximum", low=0.0
    )
    certainty_weight: float = setting(0.0, "weight of the entropy of each assignment", low=0.0)


@final
class AssignmentPenalties:
    """The penalties of a configuration on points of a shape."""

    def __init__(self, config: AssignmentConfig, shape: Shape) -> None:
        self.config, self.shape = config, shape
        self.copies = config.augmentation_weight > 0 and config.augmentation.changes(shape)
        weights = (config.vat_weight, config.balance_weight, config.certainty_weight)
        self.any = self.copies or any(weight > 0 for weight in weights)

    def with_copies(self, x: Tensor, draws: Draws) -> Tensor:
        """Return points x (R, B, F) and, if they are compared, their copies, (R, B or 2B, F)."""
        if not self.copies:
            return x
        return torch.cat([x, self.config.augmentation.apply(x, self.shape, draws)], dim=1)

    def __call__(
        self, assign: Assign, x: Tensor, log_q: Tensor, radius: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the penalties and each of them, (R,).

        `assign` maps points to log q (R, B, K), and log_q (R, B or 2B, K) is what it gives at
        `with_copies` of x (R, B, F). `radius` is the length of the changes that assignments
        should not depend on.
        """
        config, penalties = self.config, {}
        points = log_q[:, : x.shape[1]]
        if self.copies:
            divergence = symmetric_divergence(*log_q.chunk(2, dim=1))
            penalties["inconsistency"] = config.augmentation_weight, divergence.mean(dim=1)
        if config.vat_weight > 0:
            roughness = virtual_adversarial_divergence(assign, x, points, radius, draws)
            penalties["roughness"] = config.vat_weight, roughness
        if config.balance_weight > 0:
            penalties["imbalance"] = config.balance_weight, imbalance(points)
        if config.certainty_weight > 0:
            penalties["uncertainty"] = config.certainty_weight, uncertainty(points)
        total = points.new_zeros(len(points))
        for weight, penalty in penalties.values():
            total = total + weight * penalty
        return total, {name: penalty for name, (_, penalty) in penalties.items()}


def penalised_descent(
    points: Tensor,
    losses: Callable[..., Metrics],
    penalties: AssignmentPenalties,
    optimiser: torch.optim.Optimizer,
    draws: Draws,
) -> Step:
    """Return the step of `loop.descent` for a loss that also takes the points' copies.

    `losses` maps a batch (R, B, F), the same batch `with_copies`, and the step's further
    arguments, to metrics (R,), including "loss". Copies are made in full precision.
    """

    def step(index: Tensor, *arguments: Tensor) -> Metrics:
        x = points[index]
        both = penalties.with_copies(x, draws)
        with mixed_precision(points.device, points.shape[1]):
            metrics = losses(x, both, *arguments)
        gradient_step(optimiser, metrics["loss"])
        return metrics

    return Step(step, draws)


def imbalance(log_q: Tensor) -> Tensor:
    """Return log K - H[mean of q(c | x) over the batch] in nats, (S,), of log q (S, B, K).

    It is 0 if all clusters have equal mass and log K if one cluster has all of it.
    """
    points, components = log_q.shape[1:]
    log_mean = log_q.logsumexp(dim=1) - math.log(points)
    return math.log(components) + (log_mean.exp() * log_mean).sum(dim=-1)


def uncertainty(log_q: Tensor) -> Tensor:
    """Return the mean entropy of assignments log q (S, B, K) in nats, (S,)."""
    return -(log_q.exp() * log_q).sum(dim=-1).mean(dim=-1)
