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
from .loop import Clock, adam, descend_pass
from .mixtures import GaussianMixture, refit_mixture
from .networks import Draws, initialise, rsample
from .stack import NetworkClusterer, StackedMethod, StackedNetwork
from .starts import fit_best_mixture
from .vae import VAE, VAEConfig

Bound = Callable[[Tensor, Draws], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class VAEMixtureConfig(VAEConfig, ABC):
    """What every VAE with a Gaussian mixture on its codes has to be told."""

    learning_rate: float = setting(1e-3, "Adam's learning rate", low=0.0)
    batch_size: int = setting(128, "points of a training step", low=1)
    vae_epochs: int = setting(50, "passes with the prior N(0, I)", low=1)
    covariance: str = setting(
        "full", "shape of the mixture's covariances", choices=("full", "diag")
    )
    starts: int = setting(4, "starts of the mixture, of which one is kept", low=1, high=100)
    temperature: float = setting(
        0.5, "variance of new codes", unit="of their component's variance", low=0.0, high=1.0
    )


@final
class LatentMixture(StackedNetwork):
    """S pairs of a VAE and a Gaussian mixture on its codes.

    The mixture is fitted on draws of q(z | x), where a dimension that the VAE does not use is
    N(0, 1) and at the means would be a spike. Clusters are told at the means.
    """

    def __init__(self, stack: int, shape: Shape, config: VAEMixtureConfig) -> None:
        super().__init__(stack, shape, config)
        self.config = config
        self.vae = VAE(stack, torch.Size(shape).numel(), config)
        self.mixture = GaussianMixture(stack, config.n_components, config.latent_size)

    def own_component_bound(self, x: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return the bound with every point's own component as prior, as above.

        E_q log p(x | z) - KL(q(z | x) || N(μ_c, S_c)) + log π_c, with the c that bounds best:
        log p(z) ≥ log π_c + log N(z; μ_c, S_c) for every c.
        """
        q = self.vae.encode(x)
        cross = self.mixture.cross_entropy(q) - self.mixture.log_weights.unsqueeze(1)
        return self.vae.bound(x, rsample(q, draws), cross.amin(dim=-1) - q.entropy())

    @torch.no_grad()
    def fit_mixture(self, x: Tensor, draws: Draws) -> None:
        """Fit the mixture anew on drawn codes of x (N, F), from the best of several starts."""
        codes, config = self.vae.drawn_codes(x, draws), self.config
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
        """Fit the mixture on drawn codes of x (N, F), from where it stands."""
        z, kind = self.vae.drawn_codes(x, draws), self.config.covariance
        fitted, _ = refit_mixture(z, self.mixture, covariance=kind)
        self.mixture.take(fitted.pick(torch.zeros(len(z), dtype=torch.long, device=z.device)))

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return self.vae.embed(x)

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities at the means, (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the lower bound with the mixture as p(z), (S, N), of x (N, F); see `VAE.elbo`."""
        return self.vae.elbo(x, noise, self.mixture.log_prob)


@final
class LatentMixtureClusterer(NetworkClusterer, Decodes, Generates, Bounds):
    """One VAE with the mixture on its codes."""

    network_type = LatentMixture
    network: LatentMixture

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.network.vae.reconstruct(x.flatten(1))[0].view(len(x), *self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · S_c), shape (n, *shape).

        The reduced variance keeps a draw from falling to another cluster.
        """
        device = self.network.mixture.means.device
        noise = Draws([seed], device).normal(n, self.config.latent_size)
        z = self.network.mixture.place(cluster, self.config.temperature**0.5 * noise)
        return self.network.vae.decode(z).base_dist.mean[0].view(n, *self.shape)

    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] with the mixture as p(z), (N,).

        The mean is over 16 codes, eight draws that are always the same and their mirror images.
        """
        return self.network.elbo(x.flatten(1), antithetic_noise(self.config.latent_size, x))[0]


class LatentMixtureMethod(StackedMethod, ABC):
    """A method that trains a VAE first and fits the mixture on its codes."""

    clusterer_type = LatentMixtureClusterer
    config: VAEMixtureConfig
    network: LatentMixture

    @final
    def __init__(
        self,
        config: VAEMixtureConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = LatentMixture(len(seeds), self.shape, config).to(device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)

    @final
    def train_vae(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE on x (N, F) with the prior N(0, I), and at last fit the mixture.

        It is fitted after a ninth and a third of the passes as well: there early stopping looks,
        and has something to see.
        """
        passes = self.config.vae_epochs
        fits = {-(-passes // 9), -(-passes // 3), passes}
        for done in self.clock.count("vae", passes):
            metrics = self.descend_pass(x, self.network.vae.standard_bound)
            if done in fits:
                self.network.fit_mixture(x, self.draws)
            clusters = done >= min(fits)
            yield Report(stage="vae", epoch=self.clock.epoch, metrics=metrics, clusters=clusters)

    @final
    def descend_pass(self, x: Tensor, bound: Bound) -> dict[str, Tensor]:
        """Take one pass of steps up a bound over x (N, F); return its mean metrics, (R,)."""
        return descend_pass(
            x,
            lambda batch: bound(batch, self.draws),
            self.optimiser,
            batch_size=self.config.batch_size,
            draws=self.draws,
        )
