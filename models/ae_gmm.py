"""An autoencoder, then a Gaussian mixture on its codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Decodes, Generates, Pretrains, Report, Shape
from ._kit.autoencoder import Autoencoder, AutoencoderConfig
from ._kit.loop import chunk_size, in_chunks
from ._kit.mixtures import GaussianMixture
from ._kit.outputs import validate_and_flatten
from ._kit.pretraining import NetworkPretraining
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from ._kit.starts import fit_best_mixture


@final
@dataclass(frozen=True, kw_only=True)
class AEGMMConfig(AutoencoderConfig):
    """Settings of the autoencoder and of the mixture on its codes."""

    covariance: str = setting("full", "covariances of the mixture", choices=("full", "diag"))
    starts: int = setting(4, "starts of the mixture, the best of which is kept", low=1, high=100)
    temperature: float = setting(
        0.5, "variance of sampled codes", unit="of their component's variance", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Epochs of pretraining, plus one for the mixture."""
        return self.pretraining_epochs + 1

    def capped(self, epochs: int) -> Self:
        """Return this configuration with fewer epochs of pretraining."""
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
        return in_chunks(lambda part: self.autoencoder.encode(self.expand(part)), x)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities of the codes, shape (S, N, K), of x (N, F)."""
        return self.mixture.log_responsibilities(self.embed(x))


@final
class AEGMMClusterer(NetworkClusterer, Decodes, Generates):
    """One autoencoder with the mixture on its codes."""

    network_type = AEGMMNetwork
    network: AEGMMNetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        return self.decode_codes(x, self.network.autoencoder.decode)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return decoded z ~ N(μ_c, temperature · S_c), shape (n, *shape)."""
        z = self.draw_codes(self.network.mixture.sample_component, cluster, n, seed)
        return self.unflatten(self.network.autoencoder.decode(z))


@final
class AEGMM(StackedMethod, Pretrains):
    """Train an autoencoder on its squared error, then fit a Gaussian mixture on its codes.

    The baseline AE+GMM of Deep Generative Clustering with VAEs and Expectation-Maximization
    (2025), Table 2, with codes of ten dimensions. The layers are those of Variational Deep
    Embedding (Jiang et al., 2017). The paper does not state the covariance; the default is full.
    """

    config_type = AEGMMConfig
    clusterer_type = AEGMMClusterer
    source = (
        "Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Table 2, AE+GMM"
    )
    config: AEGMMConfig
    network: AEGMMNetwork
    pretraining: NetworkPretraining

    def build(self) -> None:
        """Create the network and the pretraining of its autoencoder."""
        self.network = self.stacked(AEGMMNetwork)
        coder = self.network.autoencoder
        self.pretraining = self.pretraining_of(coder, coder.squared_error, self.config)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the autoencoder, then fit the mixture."""
        points = validate_and_flatten(x, self.config)
        yield from self.pretraining.fit(points)
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
        parts = codes.split(chunk_size(codes.device), dim=1)
        return torch.cat([mixture.log_prob(part) for part in parts], dim=1).mean(dim=1)
