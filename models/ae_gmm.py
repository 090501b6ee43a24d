"""An autoencoder, then a Gaussian mixture on its codes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Decodes, Generates, Pretrains, Report, Shape
from ._kit.autoencoder import Autoencoder, AutoencoderConfig
from ._kit.loop import Clock, in_chunks
from ._kit.mixtures import GaussianMixture
from ._kit.networks import Draws
from ._kit.outputs import flattened
from ._kit.pretraining import NetworkPretraining
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from ._kit.starts import fit_best_mixture


@final
@dataclass(frozen=True, kw_only=True)
class AEGMMConfig(AutoencoderConfig):
    """Settings of the autoencoder and of the mixture on its codes."""

    covariance: str = setting(
        "full", "shape of the mixture's covariances", choices=("full", "diag")
    )
    starts: int = setting(4, "starts of the mixture, of which one is kept", low=1, high=100)
    temperature: float = setting(
        0.5, "variance of new codes", unit="of their component's variance", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """The passes of the autoencoder and one for the mixture."""
        return self.pretraining_epochs + 1

    def capped(self, epochs: int) -> Self:
        """Return the configuration with fewer passes of the autoencoder."""
        kept = min(self.pretraining_epochs, max(0, epochs - 1))
        return replace(self, pretraining_epochs=kept)


@final
class AEGMMNetwork(StackedNetwork):
    """S pairs of an autoencoder and a Gaussian mixture on its codes."""

    def __init__(self, stack: int, shape: Shape, config: AEGMMConfig) -> None:
        super().__init__(stack, shape, config)
        self.autoencoder = Autoencoder(stack, torch.Size(shape).numel(), config)
        self.mixture = GaussianMixture(stack, config.n_components, config.latent_size)

    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""
        stack = len(self.mixture.means)
        return in_chunks(lambda part: self.autoencoder.encode(part.expand(stack, -1, -1)), x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities of the codes, shape (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))


@final
class AEGMMClusterer(NetworkClusterer, Decodes, Generates):
    """One autoencoder with the mixture on its codes."""

    network_type = AEGMMNetwork
    network: AEGMMNetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        coder = self.network.autoencoder
        points = in_chunks(lambda part: coder.decode(coder.encode(part[None])), x.flatten(1))
        return points[0].view(len(x), *self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return decoded z ~ N(μ_c, temperature · S_c), shape (n, *shape)."""
        noise = Draws([seed], self.network.mixture.means.device).normal(n, self.config.latent_size)
        z = self.network.mixture.place(cluster, self.config.temperature**0.5 * noise)
        return self.network.autoencoder.decode(z)[0].view(n, *self.shape)


@final
class AEGMM(StackedMethod, Pretrains):
    """Train an autoencoder by its squared error, then fit a Gaussian mixture on its codes.

    The baseline AE+GMM of Deep Generative Clustering with VAEs and Expectation-Maximization
    (2025), Table 2: ten dimensions; its layers here are those of Variational Deep Embedding
    (Jiang et al., 2017). The covariance is not stated: here it is full.
    """

    config_type = AEGMMConfig
    clusterer_type = AEGMMClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Table 2, AE+GMM"
    )
    config: AEGMMConfig
    network: AEGMMNetwork
    pretraining: NetworkPretraining

    def __init__(
        self,
        config: AEGMMConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = AEGMMNetwork(len(seeds), self.shape, config).to(device)
        coder = self.network.autoencoder
        self.pretraining = NetworkPretraining(
            coder, coder.squared_error, config, clock=self.clock, seeds=seeds, device=device
        )

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the autoencoder, then fit the mixture."""
        points = flattened(x, self.config)
        yield from self.pretraining.descend(points)
        for _ in self.clock.count("mixture", 1):
            log_likelihood = self._fit_mixture(points)
            yield Report(
                stage="mixture",
                epoch=self.clock.epoch,
                metrics={"log_likelihood": log_likelihood},
            )

    @torch.no_grad()
    def _fit_mixture(self, points: Tensor) -> Tensor:
        codes = self.network.embed(points)
        config, mixture = self.config, self.network.mixture
        fit_best_mixture(
            mixture,
            codes,
            self.network.embed,
            points,
            self.draws,
            starts=config.starts,
            covariance=config.covariance,
        )
        return mixture.log_prob(codes).mean(dim=1)
