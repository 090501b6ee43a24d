"""The autoencoders of EM-VAE: one per cluster and replica, in one stack of R·K networks."""

import math
from abc import ABC
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from ...methods.config import setting
from ...methods.contract import Shape
from .._kit.distributions import kl_to_standard_normal
from .._kit.draws import Draws
from .._kit.layers import MLP, Dropout, GaussianHead, Linear, replica
from .._kit.loop import in_chunks
from .._kit.outputs import OutputConfig
from .._kit.stack import StackedNetwork

LEAKY_RELU_SLOPE = 0.2
"""Slope below 0 of the leaky ReLU, Table 1."""

CHUNK_SIZE = 256
"""Points per chunk and network on a CPU: enough to be fast, few enough to stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class VAEStackConfig(OutputConfig, ABC):
    """Settings of the autoencoders, with the values of Table 1 for MNIST."""

    latent_size: int = setting(20, "dimensions D of a code z", low=1)
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    dropout: float = setting(0.2, "dropout rate of the hidden units", low=0.0, high=0.95)
    reconstruction_weight: float = setting(
        1.0, "w in w/2 ‖x - D(z)‖²: the inverse variance of x given z", low=1e-6
    )
    temperature: float = setting(1.0, "T in u = softmax(ELBO / T), 1 in the paper", low=1e-3)

    def nats(self, bound: Tensor, features: int) -> Tensor:
        """Return logsumexp_k ELBO_k - log K + F/2 log(w/2π), a bound of log p(x) in nats."""
        normaliser = features / 2 * math.log(self.reconstruction_weight / (2 * math.pi))
        return bound + normaliser - math.log(self.n_components)


@final
class VAEStack(nn.Module):
    """S variational autoencoders F-H-D-H-F with a diagonal Gaussian posterior (section 2.2).

    Given z, x is normal with the decoder's output D(z) as mean and variance 1/w.
    """

    def __init__(
        self, stack: int, features: int, config: VAEStackConfig, draws: Draws | None = None
    ) -> None:
        super().__init__()
        self.stack, self.features, self.config = stack, features, config
        hidden, code = config.hidden_size, config.latent_size
        drop = Dropout(config.dropout, draws)
        self.encoder = MLP(stack, (features, hidden), _leaky_relu, dropout=drop)
        self.code = GaussianHead(stack, hidden, code)
        self.decoder = MLP(stack, (code, hidden), _leaky_relu, dropout=drop)
        self.output = Linear(stack, hidden, features)

    def extract(self, index: int) -> "VAEStack":
        """Return a copy of one network as a stack of one, in evaluation mode."""
        network = VAEStack(1, self.features, self.config).to(self.output.weight.device).eval()
        network.load_state_dict(replica(self.state_dict(), index, self.stack))
        return network

    def encode(self, x: Tensor) -> Independent:
        """Return q(z | x) of every network, batch shape (S, B), of x (S, B, F)."""
        return self.code(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """Return D(z), (S, B, F), of z (S, B, D)."""
        y = self.output(self.decoder(z))
        return y.sigmoid_() if self.config.output == "sigmoid" else y  # in place to save memory

    def loss_terms(self, x: Tensor, q: Independent, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the terms of -ELBO (2.4), each (S, B): reconstruction error, KL(q ‖ N(0, I))."""
        return self.reconstruction_error(x, z), kl_to_standard_normal(q)

    def reconstruction_error(self, x: Tensor, z: Tensor) -> Tensor:
        """Return w/2 E‖x - D(z)‖², (S, B), the mean over the M draws folded in z (S, M·B, D)."""
        decoded = self.decode(z).unflatten(1, (-1, x.shape[1]))
        distance = _SquaredDistance.apply(decoded, x.unsqueeze(1))
        return self.config.reconstruction_weight / 2 * distance.mean(1)


@final
class EMVAENetwork(StackedNetwork):
    """S replicas of K autoencoders, in one stack of S·K, and the softmax of their bounds.

    p(k | x) is an E-step at the mean code instead of draws. It uses no random numbers and the
    current weights, which may have changed since the last E-step.
    """

    def __init__(
        self, stack: int, shape: Shape, config: VAEStackConfig, draws: Draws | None = None
    ) -> None:
        super().__init__(stack, shape, config)
        self.K, self.temperature = config.n_components, config.temperature
        self.vaes = VAEStack(stack * self.K, math.prod(shape), config, draws)

    def codes_and_log_proba(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean codes (S·K, B, D) and log p(k | x), (S, B, K), of x (B, F)."""
        batch = expand_to_stack(x, self.vaes.stack)
        q = self.vaes.encode(batch)
        codes = q.base_dist.mean
        reconstruction, kl = self.vaes.loss_terms(batch, q, codes)
        elbo = unstack_clusters(-reconstruction - kl, self.K)
        return codes, (elbo / self.temperature).log_softmax(-1)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log softmax_k(ELBO_k / T) at the mean codes, (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.codes_and_log_proba(part)[1], x, size=CHUNK_SIZE)

    def embed(self, x: Tensor) -> Tensor:
        """Return the K mean codes side by side, each times p(k | x), (S, N, K·D), of x (N, F).

        The codes of different autoencoders are unrelated, so each has its own axes. A point lies
        on the axes of its cluster, or between those of several if its cluster is uncertain.
        """

        def embedding(part: Tensor) -> Tensor:
            codes, log_p = self.codes_and_log_proba(part)
            return (log_p.exp().unsqueeze(-1) * unstack_clusters(codes, self.K)).flatten(2)

        return in_chunks(embedding, x, size=CHUNK_SIZE)


class _SquaredDistance(torch.autograd.Function):
    """‖y - x‖² over the last axis, in float32, with a gradient for y only.

    torch would make ten passes over its largest tensor here, which is most of the time that does
    not go into matrix products.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor) -> Tensor:
        """Return the squared distance."""
        difference = y - x
        ctx.save_for_backward(difference)
        ctx.dtype = y.dtype
        return torch.linalg.vector_norm(difference, dim=-1, dtype=torch.float32).square_()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return 2 (y - x) times the gradient."""
        (difference,) = ctx.saved_tensors
        return (difference * (2 * gradient).unsqueeze(-1)).to(ctx.dtype), None


def _leaky_relu(x: Tensor) -> Tensor:
    # in place to save memory, the bottleneck: the output of a linear layer is not used again
    return F.leaky_relu(x, LEAKY_RELU_SLOPE, inplace=True)


def expand_to_stack(x: Tensor, stack: int) -> Tensor:
    """Expand a common batch (B, F), or one per replica (R, B, F), to (S, B, F)."""
    if x.dim() == 2:
        return x.expand(stack, *x.shape)
    return x.repeat_interleave(stack // len(x), dim=0)


def unstack_clusters(values: Tensor, K: int) -> Tensor:
    """Rearrange outputs (R·K, B, …) of the stack as (R, B, K, …)."""
    return values.unflatten(0, (-1, K)).transpose(1, 2)


def mean_entropy(u: Tensor) -> Tensor:
    """Return the mean entropy of responsibilities (R, N, K), (R,), in nats."""
    return torch.special.entr(u).sum(-1).mean(-1)
