"""Priors of the style w of a Gaussian mixture VAE."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from ._nets import Draws, kl_to_standard_normal
from ._trainable_mixture import TrainableMixture


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
    def along(self, axis: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (S, W) and the standard deviation (S, 1) along unit vectors (S, W)."""


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

    def along(self, axis: Tensor) -> tuple[Tensor, Tensor]:
        """Return 0 and 1."""
        return torch.zeros_like(axis), torch.ones_like(axis[:, :1])


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

    def along(self, axis: Tensor) -> tuple[Tensor, Tensor]:
        """Return Σ π m, and the root of Σ π (a·(v a) + (a·(m - Σ π m))²) along a."""
        weights, means = self.mixture.log_weights().exp().unsqueeze(-1), self.mixture.means
        mean, a = (weights * means).sum(dim=1), axis.unsqueeze(1)
        apart = (a * (means - mean.unsqueeze(1))).sum(dim=-1, keepdim=True)
        within = (a.square() * self.mixture.log_variances.exp()).sum(dim=-1, keepdim=True)
        return mean, (weights * (within + apart.square())).sum(dim=1).sqrt()
