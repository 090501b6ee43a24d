"""A variational autoencoder, then a Gaussian mixture on its codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

from torch import Tensor

from ..methods.contract import Report
from ._kit.latent_mixture import LatentMixtureMethod, VAEMixtureConfig
from ._kit.outputs import validate_and_flatten


@final
@dataclass(frozen=True, kw_only=True)
class VAEGMMConfig(VAEMixtureConfig):
    """Settings of the VAE and of the mixture fitted on its codes."""

    @property
    def passes(self) -> int:
        """Epochs of the VAE."""
        return self.vae_epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs."""
        return replace(self, vae_epochs=max(1, min(self.vae_epochs, epochs)))


@final
class VAEGMM(LatentMixtureMethod):
    """Train a VAE with the prior N(0, I), then fit a Gaussian mixture on its codes.

    DGM final project - VAE with latent clustering using GMM (Avital & Lieberman, 2025), section
    3.3 before the first round of mutual training. The report specifies neither network nor sizes.
    """

    config_type = VAEGMMConfig
    source = (
        "DGM final project - VAE with latent clustering using GMM (2025), section 3.3, zero rounds"
    )

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train the VAE and fit the mixture, for the last time after the final epoch."""
        yield from self.train_vae(validate_and_flatten(x, self.config))
