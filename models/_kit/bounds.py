"""The evidence lower bound of models with codes, estimated with fixed noise."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent

from .distributions import log_prob
from .draws import Draws
from .loop import in_chunks

Conditional = Callable[[Tensor], Independent]
LogDensity = Callable[[Tensor], Tensor]


def antithetic_bound(
    encode: Conditional,
    decode: Conditional,
    log_prior: LogDensity,
    x: Tensor,
    noise: Tensor,
    *,
    stack: int,
) -> Tensor:
    """Return E_q[log p(x | z) + log p(z)] + H(q), shape (S, N), in nats, of x (N, F).

    The mean is over z = μ ± s ε with the given ε (M, D) and their negatives. `encode` maps points
    (S, B, F) to q(z | x), `decode` maps codes (S, B, D) to p(x | z) and `log_prior` to log p(z).
    """

    def bound(part: Tensor) -> Tensor:
        q = encode(part.expand(stack, -1, -1))
        total = torch.zeros_like(q.base_dist.mean[..., 0])
        for epsilon in torch.cat([noise, -noise]):
            z = q.base_dist.mean + q.base_dist.stddev * epsilon
            total = total + log_prob(decode(z), part) + log_prior(z)
        return (total / (2 * len(noise)) + q.entropy()).unsqueeze(-1)

    return in_chunks(bound, x).squeeze(-1)


def antithetic_noise(features: int, like: Tensor) -> Tensor:
    """Return 8 fixed draws from N(0, I), shape (8, D), to be used with their negatives.

    They are scaled so that the variance of each coordinate is exactly 1.
    """
    noise = Draws([0]).normal(8, features)[0]
    return (noise / noise.square().mean(dim=0).sqrt()).to(like)
