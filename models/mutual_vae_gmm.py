"""Mutual training of a variational autoencoder and a Gaussian mixture, in turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ..method import Clusterer, Method, Random, Report, Scalar, Shape, State, Trains, setting
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
class MutualVAEGMMConfig(VAEMixtureConfig):
    """Settings of the VAE, of the mixture and of their turns."""

    rounds: int = setting(5, "turns of the VAE under the mixture, then of the mixture", low=0)
    round_epochs: int = setting(4, "passes of the VAE in one turn", low=1)

    @property
    def passes(self) -> int:
        """The passes before the first mixture and those of all rounds."""
        return self.vae_epochs + self.rounds * self.round_epochs

    def capped(self, epochs: int) -> Self:
        """Return the configuration with at most that many passes, shared as before.

        Rounds become fewer before they become shorter.
        """
        if self.passes <= epochs:
            return self
        vae_epochs = max(1, round(epochs * self.vae_epochs / self.passes))
        rest = max(0, epochs - vae_epochs)
        round_epochs = max(1, min(self.round_epochs, rest))
        return replace(
            self, vae_epochs=vae_epochs, rounds=rest // round_epochs, round_epochs=round_epochs
        )


@final
class MutualVAEGMM(Method, Trains, Random):
    """Train a VAE with the prior N(0, I) and fit a Gaussian mixture on its codes; then, in turns,
    train the VAE with each point's own component as its prior, and fit the mixture again.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.3. The paper names neither network nor sizes nor the covariance. Here it is full, the bound
    keeps log π_c, and a point's component is the one that bounds it best at each step.
    """

    config_type = MutualVAEGMMConfig
    clusterer_type = LatentMixtureClusterer
    source = "DGM final project - VAE with latent clustering using GMM (2025), section 3.3"

    def __init__(
        self,
        config: MutualVAEGMMConfig,
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
        """Train the VAE and fit the mixture, then both in turns; report every pass."""
        config, network = self.config, self.network
        points = flattened(x, config)
        fits = fitting_passes(config.vae_epochs)
        for done in self.clock.count("vae", config.vae_epochs):
            metrics = network.descend_pass(
                points,
                lambda batch: network.vae.standard_bound(batch, self.draws),
                self.optimiser,
                self.draws,
            )
            if done in fits:
                network.fit_mixture(points, self.draws)
            clusters = done >= min(fits)
            yield Report(stage="vae", epoch=self.clock.epoch, metrics=metrics, clusters=clusters)
        for done in self.clock.count("rounds", config.rounds * config.round_epochs):
            metrics = network.descend_pass(
                points,
                lambda batch: network.own_component_bound(batch, self.draws),
                self.optimiser,
                self.draws,
            )
            if done % config.round_epochs == 0:
                network.refit_mixture(points, self.draws)
            yield Report(stage="rounds", epoch=self.clock.epoch, metrics=metrics)

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
