"""Stacked variational autoencoders and the settings of their networks."""

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from ...methods.config import setting
from .bounds import antithetic_bound
from .distributions import diagonal_normal, kl_to_standard_normal, log_prob, rsample
from .draws import Draws
from .layers import MLP, BernoulliHead, GaussianHead, Head
from .loop import chunk_size, in_chunks
from .mixtures import random_subset
from .outputs import LikelihoodConfig


@dataclass(frozen=True, kw_only=True)
class VAEConfig(LikelihoodConfig, ABC):
    """Settings of the networks of every VAE."""

    latent_size: int = setting(10, "size of the code", low=1, high=256)
    hidden_size: int = setting(256, "units of a hidden layer", low=1, high=8192)
    hidden_layers: int = setting(
        2, "hidden layers of the encoder, and of the decoder", low=1, high=8
    )
    scale: float = setting(
        0.2,
        "standard deviation of a point given its code, with a Gaussian likelihood",
        unit="of the scaled data",
        low=1e-3,
        high=10.0,
    )


@final
class VAE(nn.Module):
    """S variational autoencoders of x (S, B, F) with codes (S, B, D) and diagonal posteriors.

    Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 3 and appendix C.
    """

    def __init__(self, stack: int, features: int, config: VAEConfig) -> None:
        super().__init__()
        self.stack = stack
        hidden, code = [config.hidden_size] * config.hidden_layers, config.latent_size
        self.encoder = MLP(stack, [features, *hidden], torch.relu)
        self.posterior = GaussianHead(stack, hidden[-1], code)
        self.decoder = MLP(stack, [code, *hidden], torch.relu)
        self.likelihood = (
            _FixedScaleHead(stack, hidden[-1], features, scale=config.scale)
            if config.likelihood == "gaussian"
            else BernoulliHead(stack, hidden[-1], features)
        )

    def encode(self, x: Tensor) -> Independent:
        """Return q(z | x)."""
        return self.posterior(self.encoder(x))

    def decode(self, z: Tensor) -> Independent:
        """Return p(x | z)."""
        return self.likelihood(self.decoder(z))

    def standard_bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the evidence lower bound under the prior N(0, I) and its terms, each (S,).

        E_q log p(x | z) - KL(q(z | x) || N(0, I)), from one draw, mean over the batch (S, B, F).
        """
        q = self.encode(x)
        return self.bound(x, rsample(q, draws), kl_to_standard_normal(q))

    def bound(self, x: Tensor, z: Tensor, kl: Tensor) -> dict[str, Tensor]:
        """Return the lower bound from draws z (S, B, D) and divergences `kl` (S, B), each (S,).

        "loss" is minus the bound "elbo"; "reconstruction" and "kl" are its terms. All are means
        over the batch.
        """
        reconstruction = log_prob(self.decode(z), x).mean(dim=1)
        kl = kl.mean(dim=1)
        elbo = reconstruction - kl
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl}

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return in_chunks(lambda part: self.encode(self._expand(part)).base_dist.mean, x)

    @torch.no_grad()
    def sample_codes(self, x: Tensor, draws: Draws) -> Tensor:
        """Return one draw from q(z | x) for each of at most 20,000 of the x (N, F), (S, n, D)."""
        index = random_subset(len(x), draws)
        chunks = [rsample(self.encode(x[part]), draws) for part in index.split(4096, dim=1)]
        return torch.cat(chunks, dim=1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the means, (S, N, F), of x (N, F)."""
        parts = self.embed(x).split(chunk_size(x.device), dim=1)
        return torch.cat([self.decode(part).base_dist.mean for part in parts], dim=1)

    @torch.no_grad()
    def elbo(self, x: Tensor, noise: Tensor, log_prior: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E_q[log p(x | z) + log p(z)] + H(q), shape (S, N), of x (N, F).

        The mean is over z = μ ± s ε with the given ε (M, D) and their negatives; `log_prior`
        maps z (S, N, D) to log p(z), (S, N).
        """
        return antithetic_bound(self.encode, self.decode, log_prior, x, noise, stack=self.stack)

    def _expand(self, x: Tensor) -> Tensor:
        return x.expand(self.stack, *x.shape)


@final
class _FixedScaleHead(nn.Module):
    """S heads from a hidden layer to N(mean, scale² I)."""

    def __init__(self, stack: int, fan_in: int, fan_out: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.mean = Head(stack, fan_in, fan_out)

    def forward(self, h: Tensor) -> Independent:
        """Return p(· | h) with batch shape (S, B) and event shape (fan_out,)."""
        mean = self.mean(h)
        return diagonal_normal(mean, mean.new_full((), self.scale).expand_as(mean))
