"""Priors of the style w in a Gaussian mixture VAE."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .._kit.distributions import kl_to_standard_normal
from .._kit.draws import Draws
from .._kit.trainable_mixture import TrainableMixture


class StylePrior(nn.Module, ABC):
    """The priors p(w) of S networks over styles of size W."""

    @abstractmethod
    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return KL(q(w | y) || p(w)), or an estimate, (S, M·B), in nats.

        q has batch shape (S, B), and w (S, M·B, W) are M draws from it, in the order of `rsample`.
        """

    @abstractmethod
    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return n styles of each network, shape (S, n, W)."""

    @abstractmethod
    def scatter(self, draws: Draws) -> None:
        """Draw the initial components, if the prior has any."""

    @abstractmethod
    def add_to_mean(self, offsets: Tensor) -> Tensor:
        """Return E w + offsets, shape (S, n, W), of offsets (S, n, W)."""

    @abstractmethod
    def std_along(self, axis: Tensor) -> Tensor:
        """Return the standard deviation of w along unit vectors (S, W), shape (S, 1)."""


@final
class StandardStyle(StylePrior):
    """N(0, I), Eq. 1a of the paper, without parameters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return the divergence in closed form, repeated for each draw."""
        return kl_to_standard_normal(q).repeat(1, w.shape[1] // q.batch_shape[1])

    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return standard normal numbers."""
        return draws.normal(n, self.size)

    def scatter(self, draws: Draws) -> None:
        """Do nothing."""

    def add_to_mean(self, offsets: Tensor) -> Tensor:
        """Return the offsets, since the mean is 0."""
        return offsets

    def std_along(self, axis: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(axis[:, :1])


@final
class MixtureStyle(StylePrior):
    """A mixture of L diagonal Gaussians, trained with the other parameters.

    The paper's conclusion proposes it. Styles then form L groups, so that K clusters and L groups
    distinguish K · L kinds of points.
    """

    def __init__(self, stack: int, components: int, size: int) -> None:
        super().__init__()
        self.mixture = TrainableMixture(stack, components, size)

    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return -H(q) - log p(w), in which only the second term depends on the draws."""
        entropy = q.entropy().repeat(1, w.shape[1] // q.batch_shape[1])
        return -entropy - self.mixture.log_prob(w)

    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return draws from the mixture."""
        return self.mixture.sample(n, draws)

    def scatter(self, draws: Draws) -> None:
        """Draw the means from N(0, I)."""
        self.mixture.scatter(draws)

    def add_to_mean(self, offsets: Tensor) -> Tensor:
        """Return Σ π m + offsets."""
        return self._mean() + offsets

    def std_along(self, axis: Tensor) -> Tensor:
        """Return the root of Σ π (a·(v a) + (a·(m - E w))²) along a."""
        a = axis.unsqueeze(1)
        between = (a * (self.mixture.means - self._mean())).sum(dim=-1, keepdim=True)
        within = (a.square() * self.mixture.log_variances.exp()).sum(dim=-1, keepdim=True)
        return (self._weights() * (within + between.square())).sum(dim=1).sqrt()

    def _weights(self) -> Tensor:
        return self.mixture.log_weights().exp().unsqueeze(-1)

    def _mean(self) -> Tensor:
        return (self._weights() * self.mixture.means).sum(dim=1, keepdim=True)
