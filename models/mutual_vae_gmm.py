"""Alternating training of a variational autoencoder and a Gaussian mixture."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Report
from ._kit.latent_mixture import LatentMixtureMethod, VAEMixtureConfig
from ._kit.loop import train_epoch
from ._kit.outputs import validate_and_flatten


@final
@dataclass(frozen=True, kw_only=True)
class MutualVAEGMMConfig(VAEMixtureConfig):
    """Settings of the VAE, of the mixture and of the rounds between them."""

    rounds: int = setting(5, "rounds: the VAE under the mixture, then the mixture again", low=0)
    round_epochs: int = setting(4, "epochs of the VAE per round", low=1)

    @property
    def passes(self) -> int:
        """Epochs before the first round and in all rounds."""
        return self.vae_epochs + self.rounds * self.round_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs, in the same proportions.

        The number of rounds is reduced before their length.
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
class MutualVAEGMM(LatentMixtureMethod):
    """Train a VAE and a Gaussian mixture on its codes in alternation.

    The VAE first trains with the prior N(0, I), and the mixture is fitted on its codes. Each round
    then trains the VAE with every point's own component as prior and fits the mixture again.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.3. The report specifies neither network, sizes nor covariance. Here the covariance is full,
    the bound keeps log π_c, and a point's component is the one with the best bound at each step.
    """

    config_type = MutualVAEGMMConfig
    source = "DGM final project - VAE with latent clustering using GMM (2025), section 3.3"

    config: MutualVAEGMMConfig

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE and fit the mixture, then alternate; report every epoch."""
        config, network = self.config, self.network
        points = validate_and_flatten(x, config)
        yield from self.train_vae(points)
        step = self.step(points, network.own_component_bound)
        for epoch in self.clock.count("rounds", config.rounds * config.round_epochs):
            metrics = train_epoch(step, self.batches(points), network.mixture.whitening())
            if epoch % config.round_epochs == 0:
                network.refit_mixture(points, self.draws)
            yield Report(stage="rounds", epoch=self.clock.epoch, metrics=metrics)
