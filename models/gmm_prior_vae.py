"""A variational autoencoder trained jointly with its Gaussian mixture prior."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Shape
from ._kit.distributions import rsample
from ._kit.draws import Draws
from ._kit.mixtures import GaussianMixture
from ._kit.prior_vae import (
    PriorVAEClusterer,
    PriorVAEConfig,
    PriorVAEMethod,
    PriorVAENetwork,
    assignment_metrics,
)
from ._kit.starts import fit_best_mixture
from ._kit.trainable_mixture import TrainableMixture


@final
@dataclass(frozen=True, kw_only=True)
class GMMPriorVAEConfig(PriorVAEConfig):
    """Settings of the VAE, of its warm-up and of the start of the mixture."""

    start: str = setting(
        "mixture",
        "start of the prior: a mixture fitted on the codes or means drawn from N(0, I)",
        choices=("mixture", "random"),
    )
    starts: int = setting(
        4, "starts of a fitted mixture, the best of which is kept", low=1, high=100
    )


@final
class GMMPriorVAENetwork(PriorVAENetwork):
    """S pairs of a VAE and its Gaussian mixture prior."""

    config: GMMPriorVAEConfig

    def __init__(self, stack: int, shape: Shape, config: GMMPriorVAEConfig) -> None:
        super().__init__(stack, shape, config)
        self.prior = TrainableMixture(stack, config.n_components, config.latent_size)

    def bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the lower bound under the mixture and its terms, each (S,), of x (S, B, F).

        E_q log p(x | z) - KL(q(z | x) || p(z)) from one draw z ~ q(z | x), averaged over the
        batch. The divergence is estimated as log q(z | x) - logsumexp_k [log π_k + log N(z; μ_k,
        v_k)], with log q(z | x) replaced by its mean, minus the entropy of q: the gradient is the
        same for every z, with less noise.
        """
        q = self.vae.encode(x)
        z = rsample(q, draws)
        log_joint = self.prior.log_joint(z)
        kl = -q.entropy() - log_joint.logsumexp(dim=-1)
        metrics = assignment_metrics(log_joint.detach().log_softmax(dim=-1))
        return self.vae.bound(x, z, kl) | metrics

    def log_prior(self, z: Tensor) -> Tensor:
        """Return log Σ_k π_k N(z; μ_k, v_k), shape (S, N)."""
        return self.prior.log_prob(z)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(k | z) under the prior, shape (S, N, K)."""
        return self.prior.log_responsibilities(z)

    def sample_cluster(self, cluster: int, noise: Tensor) -> Tensor:
        """Return μ_c + √v_c ε, shape (S, n, D)."""
        return self.prior.sample_component(cluster, noise)

    @torch.no_grad()
    def initialise_clusters(self, x: Tensor, draws: Draws) -> None:
        """Start the mixture randomly or from the codes of x (N, F), as configured."""
        config = self.config
        if config.start == "random":
            self.prior.scatter(draws)
            return
        fitted = GaussianMixture(self.vae.stack, config.n_components, config.latent_size)
        fitted = fitted.to(x.device)
        codes = self.vae.sample_codes(x, draws)
        fit_best_mixture(
            fitted, codes, self.embed, x, draws, starts=config.starts, covariance="diag"
        )
        self.prior.copy_from(fitted)

    def update_statistics(self, x: Tensor, draws: Draws) -> None:
        """Do nothing: gradients train the whole mixture."""


@final
class GMMPriorVAEClusterer(PriorVAEClusterer):
    """One VAE with a mixture prior."""

    network_type = GMMPriorVAENetwork


@final
class GMMPriorVAE(PriorVAEMethod):
    """Train a VAE and its Gaussian mixture prior jointly on the lower bound.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.1, which reports that the components overlap and specifies neither sizes nor a start. Here
    the VAE is warmed up with the prior N(0, I), and its codes start the mixture. The metrics
    "assignment_entropy" and "information" show overlap: information is then close to 0.
    """

    config: GMMPriorVAEConfig
    network: GMMPriorVAENetwork
    config_type = GMMPriorVAEConfig
    clusterer_type = GMMPriorVAEClusterer
    source = "DGM final project - VAE with latent clustering using GMM (2025), section 3.1"

    def loss(self, x: Tensor, epoch: Tensor) -> dict[str, Tensor]:
        """Return minus the bound of a batch and its terms; all epochs are alike."""
        del epoch
        return self.network.bound(x, self.draws)
