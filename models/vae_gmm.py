"""A variational autoencoder, then a Gaussian mixture on its codes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ..method import Clusterer, Method, Random, Report, Scalar, Shape, State, Trains
from ._loop import Clock, adam, pack, unpack
from ._nets import Draws, initialise, replica
from ._vae import (
    LatentMixture,
    LatentMixtureClusterer,
    VAEMixtureConfig,
    fitting_passes,
    flattened,
)


@final
@dataclass(frozen=True, kw_only=True)
class VAEGMMConfig(VAEMixtureConfig):
    """Settings of a VAE and of the mixture that is fitted on its codes at the end."""

    @property
    def passes(self) -> int:
        """The passes of the VAE."""
        return self.vae_epochs

    def capped(self, epochs: int) -> Self:
        """Return the configuration with at most that many passes."""
        return replace(self, vae_epochs=max(1, min(self.vae_epochs, epochs)))


@final
class VAEGMM(Method, Trains, Random):
    """Train a VAE with the prior N(0, I), then fit a Gaussian mixture on its codes.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.3 before its first round of mutual training. The paper names neither network nor sizes.
    """

    config_type = VAEGMMConfig
    clusterer_type = LatentMixtureClusterer
    source = (
        "DGM final project - VAE with latent clustering using GMM (2025), section 3.3, zero rounds"
    )

    def __init__(
        self,
        config: VAEGMMConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws = Draws(seeds, device)
        features = torch.Size(self.shape).numel()
        self.network = LatentMixture(len(seeds), features, config).to(device)
        initialise(self.network, self.draws)
        self.optimiser = adam(self.network.parameters(), config.learning_rate)
        self.clock = Clock()

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE and fit the mixture, at last when it is trained."""
        points = flattened(x, self.config)
        fits = fitting_passes(self.config.vae_epochs)
        for done in self.clock.count("vae", self.config.vae_epochs):
            metrics = self.network.descend_pass(
                points,
                lambda batch: self.network.vae.standard_bound(batch, self.draws),
                self.optimiser,
                self.draws,
            )
            if done in fits:
                self.network.fit_mixture(points, self.draws)
            clusters = done >= min(fits)
            yield Report(stage="vae", epoch=self.clock.epoch, metrics=metrics, clusters=clusters)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return the log-responsibilities at the means of q(z | x), shape (R, N, K)."""
        return self.network.predict_log_proba(x.flatten(1))

    def clusterers(self) -> list[Clusterer]:
        """Return the replicas as they stand."""
        tensors, count = self.network.state_dict(), len(self.draws)
        device = self.draws.device
        return [
            LatentMixtureClusterer(
                self.config, self.shape, replica(tensors, r, count), device=device
            )
            for r in range(count)
        ]

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of encoder and decoder."""
        yield from self.network.named_parameters()

    def state(self) -> State:
        """Return networks, mixture, optimiser, random states and clock."""
        return pack(
            network=self.network, optimiser=self.optimiser, draws=self.draws, clock=self.clock
        )

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state."""
        unpack(
            state,
            network=self.network,
            optimiser=self.optimiser,
            draws=self.draws,
            clock=self.clock,
        )
