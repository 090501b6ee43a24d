"""The autoencoders of EM-VAE: one per cluster and replica, in one stack of R·K networks."""

import math
from abc import ABC
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from ...methods.config import setting
from ...methods.contract import Shape
from .._kit.loop import in_chunks
from .._kit.networks import (
    Draws,
    Dropout,
    GaussianHead,
    Linear,
    Perceptron,
    kl_to_standard_normal,
    replica,
)
from .._kit.outputs import OutputConfig
from .._kit.stack import StackedNetwork

SLOPE = 0.2  # of the leaky ReLU, Table 1
ROWS = 256  # that one network takes at a time: enough to be fast, few enough to stay in cache


@dataclass(frozen=True, kw_only=True)
class VAEStackConfig(OutputConfig, ABC):
    """What the autoencoders, trained or not, have to be told: Table 1 for MNIST."""

    latent_size: int = setting(20, "dimensions D of a code z", low=1)
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    dropout: float = setting(0.2, "share of the hidden units dropped", low=0.0, high=0.95)
    reconstruction_weight: float = setting(
        1.0, "w in w/2 ‖x - D(z)‖²: the inverse variance of x given z", low=1e-6
    )
    temperature: float = setting(1.0, "T in u = softmax(ELBO / T); 1 in the paper", low=1e-3)

    def nats(self, bound: Tensor, features: int) -> Tensor:
        """Return logsumexp_k ELBO_k as a bound of log p(x): with -log K + F/2 log(w/2π) added."""
        normaliser = features / 2 * math.log(self.reconstruction_weight / (2 * math.pi))
        return bound + normaliser - math.log(self.n_components)


@final
class VAEStack(nn.Module):
    """S variational autoencoders F-H-D-H-F with a diagonal Gaussian posterior (section 2.2).

    Given z, x is normal around the decoder's answer D(z) with variance 1/w.
    """

    def __init__(
        self, stack: int, features: int, config: VAEStackConfig, draws: Draws | None = None
    ) -> None:
        super().__init__()
        self.stack, self.features, self.config = stack, features, config
        hidden, code = config.hidden_size, config.latent_size
        drop = Dropout(config.dropout, draws)
        self.encoder = Perceptron(stack, (features, hidden), _leaky_relu, dropout=drop)
        self.code = GaussianHead(stack, hidden, code)
        self.decoder = Perceptron(stack, (code, hidden), _leaky_relu, dropout=drop)
        self.output = Linear(stack, hidden, features)

    def alone(self, index: int) -> "VAEStack":
        """Return a copy of one of the networks that is to be asked: a stack of one."""
        network = VAEStack(1, self.features, self.config).to(self.output.weight.device).eval()
        network.load_state_dict(replica(self.state_dict(), index, self.stack))
        return network

    def encode(self, x: Tensor) -> Independent:
        """Return q(z | x) of every network, batch shape (S, B), of x (S, B, F)."""
        return self.code(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """Return D(z), (S, B, F), of z (S, B, D)."""
        y = self.output(self.decoder(z))
        return y.sigmoid_() if self.config.output == "sigmoid" else y  # in place, as below

    def costs(self, x: Tensor, q: Independent, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two parts of -ELBO (2.4), each (S, B).

        They are `reconstruction` and KL(q ‖ N(0, I)).
        """
        return self.reconstruction(x, z), kl_to_standard_normal(q)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """Return w/2 E‖x - D(z)‖², (S, B), the mean over the M draws folded in z (S, M·B, D)."""
        difference = self.decode(z).unflatten(1, (-1, x.shape[1])) - x.unsqueeze(1)
        # no square of every number is written, and the sum is float32 whatever the answer is
        distance = torch.linalg.vector_norm(difference, dim=-1, dtype=torch.float32)
        return self.config.reconstruction_weight / 2 * distance.square().mean(1)


@final
class EMVAENetwork(StackedNetwork):
    """S replicas of K autoencoders, in one stack of S·K, and the softmax of their bounds.

    p(k | x) is an E-step with the mean of the code in place of its draws. It needs no random
    numbers and follows the weights as they are, also those since the last E-step.
    """

    def __init__(
        self, stack: int, shape: Shape, config: VAEStackConfig, draws: Draws | None = None
    ) -> None:
        super().__init__(stack, shape, config)
        self.K, self.temperature = config.n_components, config.temperature
        self.vaes = VAEStack(stack * self.K, math.prod(shape), config, draws)

    def at_mean(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean codes (S·K, B, D) and log p(k | x), (S, B, K), of x (B, F)."""
        batch = for_stack(x, self.vaes.stack)
        q = self.vaes.encode(batch)
        codes = q.base_dist.mean
        reconstruction, kl = self.vaes.costs(batch, q, codes)
        elbo = by_point(-reconstruction - kl, self.K)
        return codes, (elbo / self.temperature).log_softmax(-1)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log softmax_k(ELBO_k / T) at the mean codes, (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.at_mean(part)[1], x, size=ROWS)

    def embed(self, x: Tensor) -> Tensor:
        """Return the K mean codes side by side, each times p(k | x), (S, N, K·D), of x (N, F).

        The axes of different autoencoders have nothing to do with one another, so each has its
        own: a point lies on those of its cluster, or between where its cluster is in doubt.
        """

        def answer(part: Tensor) -> Tensor:
            codes, log_p = self.at_mean(part)
            return (log_p.exp().unsqueeze(-1) * by_point(codes, self.K)).flatten(2)

        return in_chunks(answer, x, size=ROWS)


def _leaky_relu(x: Tensor) -> Tensor:
    # in place: what a linear layer returned is not needed again, and memory is what limits here
    return F.leaky_relu(x, SLOPE, inplace=True)


def for_stack(x: Tensor, stack: int) -> Tensor:
    """Return one batch for all (B, F), or a batch per replica (R, B, F), as (S, B, F)."""
    if x.dim() == 2:
        return x.expand(stack, *x.shape)
    return x.repeat_interleave(stack // len(x), dim=0)


def by_point(values: Tensor, K: int) -> Tensor:
    """Return the answers (R·K, B, …) of the networks as (R, B, K, …)."""
    return values.unflatten(0, (-1, K)).transpose(1, 2)


def entropy(u: Tensor) -> Tensor:
    """Return the mean entropy of responsibilities (R, N, K), (R,), in nats."""
    return torch.special.entr(u).sum(-1).mean(-1)
