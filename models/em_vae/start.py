"""The start of EM-VAE: random, uniform, k-means, or a mixture on pretrained codes.

The pretrained start is `vae_gmm`, a mixture on the codes of one autoencoder. It is not part of the
paper. Its likelihood is Gaussian, as in EM-VAE, because a Bernoulli likelihood is less informative
about grey values.
"""

from abc import ABC
from dataclasses import dataclass, fields

from ...methods.config import Scalar, setting
from .._kit.diffusion import DiffusionConfig
from ..vae_gmm import VAEGMMConfig
from .networks import VAEStackConfig


@dataclass(frozen=True, kw_only=True)
class StartConfig(DiffusionConfig, VAEStackConfig, ABC):
    """Settings of the start of EM."""

    start: str = setting(
        "random",
        "initial u: Dirichlet(1), 1/K for all, a k-means partition, or a mixture on the codes of "
        "one pretrained autoencoder",
        choices=("random", "uniform", "kmeans", "pretrained"),
    )
    pretraining_epochs: int = setting(15, "epochs of a pretrained start's autoencoder", low=0)
    pretraining_latent_size: int = setting(10, "size of its code", low=1, high=256)
    pretraining_hidden_size: int = setting(
        256, "units of its hidden layers, two each in encoder and decoder", low=1, high=8192
    )
    pretraining_scale: float = setting(
        0.2,
        "standard deviation of a point given its code",
        unit="of the scaled data",
        low=1e-3,
        high=10.0,
    )
    pretraining_learning_rate: float = setting(
        1e-3, "Adam's learning rate in its pretraining", low=0.0
    )
    pretraining_batch_size: int = setting(128, "points per step of its pretraining", low=1)

    @property
    def start_passes(self) -> int:
        """Epochs of a pretrained start, 0 for other starts."""
        return self.pretraining_epochs if self.start == "pretrained" else 0

    @property
    def vae_gmm(self) -> VAEGMMConfig:
        """The configuration of a pretrained start's network, without its schedule."""
        return VAEGMMConfig(
            n_components=self.n_components,
            latent_size=self.pretraining_latent_size,
            hidden_size=self.pretraining_hidden_size,
            likelihood="gaussian",
            scale=self.pretraining_scale,
        )

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that a pretrained start depends on, empty for other starts.

        `output` is included because it decides which data are rejected.
        """
        if self.start_passes == 0:
            return {}
        own = [f.name for f in fields(self) if f.name.startswith("pretraining_")]
        names = ["start", "output", *own]
        return {"network": "vae", **{name: getattr(self, name) for name in names}}
