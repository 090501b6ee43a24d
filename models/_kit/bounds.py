"""The evidence lower bound of what has codes, by draws that are always the same."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent

from .loop import in_chunks
from .networks import Draws, log_prob

Code = Callable[[Tensor], Independent]
Density = Callable[[Tensor], Tensor]


def antithetic_bound(
    encode: Code, decode: Code, log_prior: Density, x: Tensor, noise: Tensor, *, stack: int
) -> Tensor:
    """Return E_q[log p(x | z) + log p(z)] + H(q), shape (S, N), in nats, of x (N, F).

    The mean is over z = μ ± s ε with the given ε (M, D) and their negatives. `encode` takes
    points (S, B, F) to q(z | x), `decode` codes (S, B, D) to p(x | z), `log_prior` to log p(z).
    """

    def answer(part: Tensor) -> Tensor:
        q = encode(part.expand(stack, -1, -1))
        total = torch.zeros_like(q.base_dist.mean[..., 0])
        for epsilon in torch.cat([noise, -noise]):
            z = q.base_dist.mean + q.base_dist.stddev * epsilon
            total = total + log_prob(decode(z), part) + log_prior(z)
        return (total / (2 * len(noise)) + q.entropy()).unsqueeze(-1)

    return in_chunks(answer, x).squeeze(-1)


def antithetic_noise(features: int, like: Tensor) -> Tensor:
    """Return half of 16 points that stand for N(0, I), shape (8, D); the others mirror them.

    Drawn once and for all, and scaled so that each coordinate has the variance 1 exactly.
    """
    noise = Draws([0]).normal(8, features)[0]
    return (noise / noise.square().mean(dim=0).sqrt()).to(like)
