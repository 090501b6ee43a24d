"""Mutual training of a variational autoencoder and a Gaussian mixture, in turns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

from torch import Tensor

from ..methods.config import setting
from ..methods.contract import Report
from ._kit.latent_mixture import LatentMixtureMethod, VAEMixtureConfig
from ._kit.outputs import flattened


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
class MutualVAEGMM(LatentMixtureMethod):
    """Train a VAE with the prior N(0, I) and fit a Gaussian mixture on its codes; then, in turns,
    train the VAE with each point's own component as its prior, and fit the mixture again.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.3. The paper names neither network nor sizes nor the covariance. Here it is full, the bound
    keeps log π_c, and a point's component is the one that bounds it best at each step.
    """

    config_type = MutualVAEGMMConfig
    source = "DGM final project - VAE with latent clustering using GMM (2025), section 3.3"

    config: MutualVAEGMMConfig

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE and fit the mixture, then both in turns; report every pass."""
        config, network = self.config, self.network
        points = flattened(x, config)
        yield from self.train_vae(points)
        for done in self.clock.count("rounds", config.rounds * config.round_epochs):
            metrics = self.descend_pass(points, network.own_component_bound)
            if done % config.round_epochs == 0:
                network.refit_mixture(points, self.draws)
            yield Report(stage="rounds", epoch=self.clock.epoch, metrics=metrics)
