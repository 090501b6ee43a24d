"""A variational autoencoder with a Gaussian mixture fitted on its codes."""

from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...methods.config import setting
from ...methods.contract import Bounds, Decodes, Generates, Report, Shape
from .bounds import antithetic_noise
from .distributions import rsample
from .draws import Draws
from .layers import initialise
from .loop import adam, batch_indices, descent, train_epoch
from .mixtures import GaussianMixture, refit_mixture
from .recording import Step
from .stack import NetworkClusterer, StackedMethod, StackedNetwork
from .starts import fit_best_mixture
from .vae import VAE, VAEConfig

Bound = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class VAEMixtureConfig(VAEConfig, ABC):
    """Settings of every VAE with a Gaussian mixture on its codes."""

    learning_rate: float = setting(1e-3, "Adam's learning rate", low=0.0)
    batch_size: int = setting(128, "points per step", low=1)
    vae_epochs: int = setting(50, "epochs with the prior N(0, I)", low=1)
    covariance: str = setting("full", "covariances of the mixture", choices=("full", "diag"))
    starts: int = setting(4, "starts of the mixture, the best of which is kept", low=1, high=100)
    temperature: float = setting(
        0.5, "variance of sampled codes", unit="of their component's variance", low=0.0, high=1.0
    )


@final
class LatentMixture(StackedNetwork):
    """S pairs of a VAE and a Gaussian mixture on its codes.

    The mixture is fitted on draws from q(z | x). A dimension that the VAE does not use is N(0, 1)
    among the draws but would be a spike among the means. Points are assigned at their means.
    """

    def __init__(self, stack: int, shape: Shape, config: VAEMixtureConfig) -> None:
        super().__init__(stack, shape, config)
        self.config = config
        self.vae = VAE(stack, torch.Size(shape).numel(), config)
        self.mixture = GaussianMixture(stack, config.n_components, config.latent_size)

    def own_component_bound(self, x: Tensor, draws: Draws, whitening: Tensor) -> dict[str, Tensor]:
        """Return `VAE.bound` with a single component of the mixture as the prior of each point.

        E_q log p(x | z) - KL(q(z | x) || N(μ_c, S_c)) + log π_c, with the c of the highest bound:
        log p(z) ≥ log π_c + log N(z; μ_c, S_c) for every c. `whitening` is the mixture's own,
        which does not change from step to step.
        """
        q = self.vae.encode(x)
        cross = self.mixture.cross_entropy(q, whitening) - self.mixture.log_weights.unsqueeze(1)
        return self.vae.bound(x, rsample(q, draws), cross.amin(dim=-1) - q.entropy())

    @torch.no_grad()
    def fit_mixture(self, x: Tensor, draws: Draws) -> None:
        """Fit a new mixture on sampled codes of x (N, F), keeping the best of several starts."""
        codes, config = self.vae.sample_codes(x, draws), self.config
        fit_best_mixture(
            self.mixture,
            codes,
            self.embed,
            x,
            draws,
            starts=config.starts,
            covariance=config.covariance,
        )

    @torch.no_grad()
    def refit_mixture(self, x: Tensor, draws: Draws) -> None:
        """Continue fitting the current mixture on sampled codes of x (N, F)."""
        z, kind = self.vae.sample_codes(x, draws), self.config.covariance
        fitted, _ = refit_mixture(z, self.mixture, covariance=kind)
        self.mixture.copy_from(
            fitted.select_start(torch.zeros(len(z), dtype=torch.long, device=z.device))
        )

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return self.vae.embed(x)

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities at the means, (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return `VAE.elbo` with the mixture as p(z), (S, N), of x (N, F)."""
        return self.vae.elbo(x, noise, self.mixture.log_prob)


@final
class LatentMixtureClusterer(NetworkClusterer, Decodes, Generates, Bounds):
    """One VAE with a Gaussian mixture on its codes."""

    network_type = LatentMixture
    network: LatentMixture

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.network.vae.reconstruct(x.flatten(1))[0].view(len(x), *self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · S_c), shape (n, *shape).

        The reduced variance keeps samples from landing in another cluster.
        """
        z = self.draw_codes(self.network.mixture.sample_component, cluster, n, seed)
        return self.unflatten(self.network.vae.decode(z).base_dist.mean)

    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] with the mixture as p(z), (N,).

        The mean is over 16 codes, made of eight fixed draws and their negatives.
        """
        return self.network.elbo(x.flatten(1), antithetic_noise(self.config.latent_size, x))[0]


class LatentMixtureMethod(StackedMethod, ABC):
    """A method that trains a VAE first and fits the mixture on its codes."""

    clusterer_type = LatentMixtureClusterer
    config: VAEMixtureConfig
    network: LatentMixture

    @final
    def build(self) -> None:
        """Create the network and its optimiser."""
        self.network = self.stacked(LatentMixture)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)

    @final
    def train_vae(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE on x (N, F) with the prior N(0, I), then fit the mixture.

        The mixture is also fitted after a ninth and a third of the epochs, so that early stopping
        has clusters to score.
        """
        epochs = self.config.vae_epochs
        fits = {-(-epochs // 9), -(-epochs // 3), epochs}
        step = self.step(x, self.network.vae.standard_bound)
        for epoch in self.clock.count("vae", epochs):
            metrics = train_epoch(step, self.batches(x))
            if epoch in fits:
                self.network.fit_mixture(x, self.draws)
            clusters = epoch >= min(fits)
            yield Report(stage="vae", epoch=self.clock.epoch, metrics=metrics, clusters=clusters)

    @final
    def step(self, x: Tensor, bound: Bound) -> Step:
        """Return the step on a bound of x (N, F)."""
        return descent(
            x, lambda batch, *terms: bound(batch, self.draws, *terms), self.optimiser, self.draws
        )

    @final
    def batches(self, x: Tensor) -> Sequence[Tensor]:
        """Return the indices (R, B) of an epoch over x (N, F)."""
        return batch_indices(len(x), self.config.batch_size, self.draws)
