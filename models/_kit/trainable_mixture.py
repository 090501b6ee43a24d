"""Gaussian mixture priors trained by gradients, together with the network of the codes."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .draws import Draws
from .mixtures import GaussianMixture
from .precision import full_precision


@final
class TrainableMixture(nn.Module):
    """S mixtures of K diagonal Gaussians over D features, held as parameters.

    p(z) = Σ_k π_k N(z; μ_k, diag σ²_k); logits of π (S, K), μ and log σ² (S, K, D). Initially all
    components are N(0, I), so that every responsibility is 1/K.
    """

    def __init__(self, stack: int, components: int, features: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(stack, components))
        self.means = nn.Parameter(torch.zeros(stack, components, features))
        self.log_variances = nn.Parameter(torch.zeros(stack, components, features))

    def log_weights(self) -> Tensor:
        """Return log π, shape (S, K)."""
        return self.logits.log_softmax(dim=-1)

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log π_k + log N(z; μ_k, σ²_k), shape (S, N, K), of z (S, N, D)."""
        return self._expected_log_joint(z, torch.zeros_like(z))

    def log_joint_and_expectation(self, z: Tensor, q: Independent) -> tuple[Tensor, Tensor]:
        """Return `log_joint` of z (S, B, D) and its mean under Gaussians q (S, B), each (S, B, K).

        E_q log N(z; μ_k, σ²_k) = log N(m; μ_k, σ²_k) - ½ Σ_j s²_j / σ²_kj. Both come from one
        matrix product.
        """
        variance = q.base_dist.variance
        points = torch.cat([z, q.base_dist.mean], dim=1)
        variances = torch.cat([torch.zeros_like(z), variance], dim=1)
        at_z, expected = self._expected_log_joint(points, variances).split(z.shape[1], dim=1)
        return at_z, expected

    def kl_to_components(self, q: Independent) -> Tensor:
        """Return KL(q ‖ N(μ_k, σ²_k)) in nats, shape (S, B, K), of diagonal Gaussians q (S, B)."""
        expected = self._expected_log_joint(q.base_dist.mean, q.base_dist.variance)
        return self.log_weights().unsqueeze(1) - expected - q.entropy().unsqueeze(-1)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z), shape (S, N, K)."""
        return self.log_joint(z).log_softmax(dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), shape (S, N)."""
        return self.log_joint(z).logsumexp(dim=-1)

    def sample_component(self, component: int, noise: Tensor) -> Tensor:
        """Return μ_c + σ_c ε, shape (S, n, D), of noise ε (S, n, D)."""
        scale = (0.5 * self.log_variances[:, component, None]).exp()
        return self.means[:, component, None] + scale * noise

    def sample(self, n: int, draws: Draws) -> Tensor:
        """Return n draws of p(z), shape (S, n, D)."""
        cumulative = self.log_weights().exp().cumsum(dim=-1)
        chosen = torch.searchsorted(cumulative, draws.uniform(n)).clamp(
            max=cumulative.shape[1] - 1
        )
        noise = draws.normal(n, self.means.shape[2])
        means, log_variances = (
            parameter.take_along_dim(chosen.unsqueeze(-1), dim=1)
            for parameter in (self.means, self.log_variances)
        )
        return means + (0.5 * log_variances).exp() * noise

    @torch.no_grad()
    def scatter(self, draws: Draws) -> None:
        """Draw the means from N(0, I), since equal components would stay equal."""
        self.means.copy_(draws.normal(*self.means.shape[1:]))

    @torch.no_grad()
    def copy_from(self, fitted: GaussianMixture) -> None:
        """Copy a fitted mixture, keeping only the diagonals of its covariances."""
        self.set_parameters(
            fitted.log_weights, fitted.means, fitted.scale_tril.square().sum(dim=-1)
        )

    @torch.no_grad()
    def set_parameters(self, log_weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Set log π (S, K), means and variances (S, K, D)."""
        self.logits.copy_(log_weights)
        self.means.copy_(means)
        self.log_variances.copy_(variances.log())

    def _expected_log_joint(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return E[log π_k + log N(z; μ_k, σ²_k)], (S, N, K), for z with this mean and variance.

        A Gaussian's log-density is linear in (z², z), so one matrix product serves all points and
        components. The origin moves to the components' centre so that large squares do not cancel.
        """
        centre = self.means.detach().mean(dim=1, keepdim=True)
        mean, means = mean - centre, self.means - centre
        precision = (-self.log_variances).exp()
        linear = precision * means
        log_volume = (self.log_variances + linear * means).sum(dim=-1)
        constant = self.log_weights() - 0.5 * log_volume
        constant = constant - 0.5 * math.log(2 * math.pi) * means.shape[-1]
        coefficients = torch.cat([-0.5 * precision, linear], dim=-1).transpose(1, 2)
        with full_precision(mean.device):
            statistics = torch.cat([torch.addcmul(variance, mean, mean), mean], dim=-1)
            return torch.baddbmm(constant.unsqueeze(1), statistics, coefficients)
