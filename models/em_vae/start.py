"""A start of EM-VAE from what `vae_gmm` finds: a mixture on the codes of one autoencoder.

This start is no part of the paper: what it leads to is a result of a pretrained start. A point
given its code is normal, as in EM-VAE: on grey values a Bernoulli likelihood says less.
"""

from abc import ABC
from dataclasses import dataclass, fields

from ...methods.config import Scalar, setting
from ..vae_gmm import VAEGMMConfig
from .networks import VAEStackConfig


@dataclass(frozen=True, kw_only=True)
class StartConfig(VAEStackConfig, ABC):
    """What has to be told of the start of EM."""

    start: str = setting(
        "random",
        "first u: Dirichlet(1), 1/K for all, a k-means partition, or a mixture on the codes of "
        "one pretrained autoencoder",
        choices=("random", "uniform", "kmeans", "pretrained"),
    )
    pretraining_epochs: int = setting(15, "passes of a pretrained start's autoencoder", low=0)
    pretraining_latent_size: int = setting(10, "size of its code", low=1, high=256)
    pretraining_hidden_size: int = setting(
        256, "units of each of its hidden layers, two a side", low=1, high=8192
    )
    pretraining_scale: float = setting(
        0.2,
        "standard deviation of a point given its code",
        unit="of the scaled data",
        low=1e-3,
        high=10.0,
    )
    pretraining_learning_rate: float = setting(1e-3, "Adam's learning rate for it", low=0.0)
    pretraining_batch_size: int = setting(128, "points of a step for it", low=1)

    @property
    def start_passes(self) -> int:
        """The passes of a pretrained start, none of another."""
        return self.pretraining_epochs if self.start == "pretrained" else 0

    @property
    def vae_gmm(self) -> VAEGMMConfig:
        """What the network of a pretrained start has to be told; its schedule stands here."""
        return VAEGMMConfig(
            n_components=self.n_components,
            latent_size=self.pretraining_latent_size,
            hidden_size=self.pretraining_hidden_size,
            likelihood="gaussian",
            scale=self.pretraining_scale,
        )

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that a pretrained start depends on; empty for another start.

        `output` is one of them because it decides which data are refused.
        """
        if self.start_passes == 0:
            return {}
        own = [f.name for f in fields(self) if f.name.startswith("pretraining_")]
        names = ["start", "output", *own]
        return {"network": "vae", **{name: getattr(self, name) for name in names}}
