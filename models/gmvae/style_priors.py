"""Priors of the style w of a Gaussian mixture VAE."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .._kit.networks import Draws, kl_to_standard_normal
from .._kit.trainable_mixture import TrainableMixture


class StylePrior(nn.Module, ABC):
    """p(w) of S networks over styles of size W."""

    @abstractmethod
    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return KL(q(w | y) || p(w)), or an estimate, (S, M·B), in nats.

        q has batch shape (S, B), and w (S, M·B, W) are M draws of it, in the order of `rsample`.
        """

    @abstractmethod
    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return n styles of each network, shape (S, n, W)."""

    @abstractmethod
    def scatter(self, draws: Draws) -> None:
        """Draw the first components, if there are any."""

    @abstractmethod
    def around(self, offsets: Tensor) -> Tensor:
        """Return E w plus offsets (S, n, W), shape (S, n, W)."""

    @abstractmethod
    def scale_along(self, axis: Tensor) -> Tensor:
        """Return the standard deviation of w along unit vectors (S, W), shape (S, 1)."""


@final
class StandardStyle(StylePrior):
    """N(0, I), Eq. 1a of the paper; nothing to train."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return the divergence in closed form, once for each draw."""
        return kl_to_standard_normal(q).repeat(1, w.shape[1] // q.batch_shape[1])

    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return standard normal numbers."""
        return draws.normal(n, self.size)

    def scatter(self, draws: Draws) -> None:
        """Do nothing."""

    def around(self, offsets: Tensor) -> Tensor:
        """Return the offsets: the mean is 0."""
        return offsets

    def scale_along(self, axis: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(axis[:, :1])


@final
class MixtureStyle(StylePrior):
    """A mixture of L diagonal Gaussians that is trained with the rest.

    The paper's conclusion proposes it: styles then fall into groups of their own, so that K
    clusters and L groups tell K · L kinds of points apart.
    """

    def __init__(self, stack: int, components: int, size: int) -> None:
        super().__init__()
        self.mixture = TrainableMixture(stack, components, size)

    def divergence(self, q: Independent, w: Tensor) -> Tensor:
        """Return -H(q) - log p(w): of KL's two terms only the second needs the draws."""
        entropy = q.entropy().repeat(1, w.shape[1] // q.batch_shape[1])
        return -entropy - self.mixture.log_prob(w)

    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return draws from the mixture."""
        return self.mixture.sample(n, draws)

    def scatter(self, draws: Draws) -> None:
        """Draw the means from N(0, I)."""
        self.mixture.scatter(draws)

    def around(self, offsets: Tensor) -> Tensor:
        """Return Σ π m plus the offsets."""
        return self._mean() + offsets

    def scale_along(self, axis: Tensor) -> Tensor:
        """Return the root of Σ π (a·(v a) + (a·(m - E w))²) along a."""
        a = axis.unsqueeze(1)
        apart = (a * (self.mixture.means - self._mean())).sum(dim=-1, keepdim=True)
        within = (a.square() * self.mixture.log_variances.exp()).sum(dim=-1, keepdim=True)
        return (self._weights() * (within + apart.square())).sum(dim=1).sqrt()

    def _weights(self) -> Tensor:
        return self.mixture.log_weights().exp().unsqueeze(-1)

    def _mean(self) -> Tensor:
        return (self._weights() * self.mixture.means).sum(dim=1, keepdim=True)
