"""Distributions over the last axis, without torch's validation, and draws from them."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from .draws import Draws

_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class LogScaleNormal(Normal):
    """N(mean, exp(log_scale)²), with density and entropy computed without a logarithm."""

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        # Normal's own constructor would need the scale, and mixtures' densities do without it
        Distribution.__init__(self, mean.shape, validate_args=False)
        self.loc, self.log_scale = mean, log_scale

    @cached_property
    def scale(self) -> Tensor:  # type: ignore[override]  # in torch an attribute
        """Return exp(log scale)."""
        return self.log_scale.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density at `value`."""
        squares = ((value - self.loc) / self.scale).square()
        return -0.5 * squares - self.log_scale - _HALF_LOG_2_PI

    def entropy(self) -> Tensor:
        """Return ½ log(2πe) + log scale."""
        return self.log_scale + (0.5 + _HALF_LOG_2_PI)


def log_scale_normal(mean: Tensor, log_variance: Tensor) -> Independent:
    """Return N(mean, diag exp(log_variance)) over the last axis."""
    return Independent(LogScaleNormal(mean, 0.5 * log_variance), 1, validate_args=False)


def diagonal_normal(mean: Tensor, scale: Tensor) -> Independent:
    """Return N(mean, diag(scale²)) over the last axis."""
    return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def independent_bernoulli(logits: Tensor) -> Independent:
    """Return a product of Bernoulli variables over the last axis."""
    return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def rsample(q: Independent, draws: Draws, samples: int = 1) -> Tensor:
    """Return reparameterised draws mean + scale · ε, (S, M·B, D), from q of batch shape (S, B).

    The M draws are folded into the batch axis, draw by draw: [draw 1 of all B, draw 2 of all B].
    """
    mean, scale = q.base_dist.mean, q.base_dist.stddev
    stack, batch, features = mean.shape
    noise = draws.normal(stack // len(draws), samples, batch, features).flatten(0, 1)
    return (mean.unsqueeze(1) + scale.unsqueeze(1) * noise).flatten(1, 2)


def kl_to_standard_normal(q: Independent) -> Tensor:
    """Return KL(q || N(0, I)) in nats over the batch shape of a diagonal Gaussian q."""
    mean = q.base_dist.mean
    second_moment = torch.addcmul(q.base_dist.variance, mean, mean).sum(dim=-1)
    return 0.5 * second_moment + mean.shape[-1] * _HALF_LOG_2_PI - q.entropy()


def log_prob(p: Distribution, x: Tensor) -> Tensor:
    """Return log p(x), with a static type that torch does not declare."""
    return p.log_prob(x)


def symmetric_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p ‖ q) + KL(q ‖ p) in nats over the last axis."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)
