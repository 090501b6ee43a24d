"""Gaussian mixtures that are descended with the networks whose codes they describe."""

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from ._mixture import GaussianMixture
from ._nets import log_prob, log_scale_normal


@final
class TrainableMixture(nn.Module):
    """S mixtures of K diagonal Gaussians over D features, all of it trained by gradients.

    p(z) = Σ_k π_k N(z; μ_k, diag v_k) with the logits of π (S, K), μ (S, K, D) and log v
    (S, K, D). Before a start all components are N(0, I), so that every responsibility is 1/K.
    """

    def __init__(self, stack: int, components: int, features: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(stack, components))
        self.means = nn.Parameter(torch.zeros(stack, components, features))
        self.log_variances = nn.Parameter(torch.zeros(stack, components, features))

    def components(self) -> Independent:
        """Return N(μ_k, diag v_k) for all k, batch shape (S, 1, K), event shape (D,)."""
        return log_scale_normal(self.means.unsqueeze(1), self.log_variances.unsqueeze(1))

    def log_weights(self) -> Tensor:
        """Return log π, shape (S, K)."""
        return self.logits.log_softmax(dim=-1)

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log π_k + log N(z; μ_k, diag v_k), shape (S, N, K), of z (S, N, D)."""
        return self.log_weights().unsqueeze(1) + log_prob(self.components(), z.unsqueeze(2))

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z), shape (S, N, K)."""
        return self.log_joint(z).log_softmax(dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), shape (S, N)."""
        return self.log_joint(z).logsumexp(dim=-1)

    def place(self, cluster: int, noise: Tensor) -> Tensor:
        """Return μ_c + √v_c ε, shape (S, n, D), of noise ε (S, n, D)."""
        scale = (0.5 * self.log_variances[:, cluster, None]).exp()
        return self.means[:, cluster, None] + scale * noise

    @torch.no_grad()
    def start(self, log_weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Copy weights (S, K), means and variances (S, K, D) that were found otherwise."""
        self.logits.copy_(log_weights)
        self.means.copy_(means)
        self.log_variances.copy_(variances.log())

    def start_from(self, fitted: GaussianMixture) -> None:
        """Copy a fitted mixture, of whose covariances the diagonals count."""
        variances = fitted.scale_tril.square().sum(dim=-1)
        self.start(fitted.log_weights, fitted.means, variances)
