"""A start of EM-VAE from the codes of one variational autoencoder.

This start is no part of the paper: what it leads to is a result of a pretrained start. A point
given its code is normal, as in EM-VAE: on grey values a Bernoulli likelihood says less.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, final

import torch
from torch import Tensor

from ..method import Scalar, setting
from ._em_vae_nets import VAEStackConfig
from ._loop import Clock
from ._mixture import GaussianMixture
from ._nets import Draws
from ._pretraining import NetworkPretraining
from ._starts import fit_best_mixture
from ._vae import VAE, VAEConfig

STARTS = 4  # of the mixture, one is kept
_PREFIX = "pretraining_"


@final
@dataclass(frozen=True, kw_only=True)
class StartVAEConfig(VAEConfig):
    """What the autoencoder of a start has to be told, and how it is trained."""

    epochs: int = setting(15, "passes with the prior N(0, I)", low=0)
    learning_rate: float = setting(1e-3, "Adam's learning rate", low=0.0)
    batch_size: int = setting(128, "points of a training step", low=1)

    @property
    def passes(self) -> int:
        """The passes of the autoencoder."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return the configuration with at most that many passes."""
        return replace(self, epochs=min(self.epochs, epochs))


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
    def vae(self) -> StartVAEConfig:
        """What the autoencoder of a pretrained start has to be told."""
        own = {name.removeprefix(_PREFIX): value for name, value in self._of_vae.items()}
        return StartVAEConfig.from_mapping(
            {**own, "n_components": self.n_components, "likelihood": "gaussian"}
        )

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that a pretrained start depends on: `output` decides what data may be.

        Empty for another start, which pretrains nothing.
        """
        if self.start_passes == 0:
            return {}
        own = {"start": self.start, "output": self.output}
        return {"network": "vae", **own, **self._of_vae}

    @property
    def _of_vae(self) -> dict[str, Scalar]:
        names = [f.name for f in fields(self) if f.name.startswith(_PREFIX)]
        return {name: getattr(self, name) for name in names}


@final
class PretrainedStart:
    """R autoencoders that are trained with the prior N(0, I), and mixtures on their codes."""

    def __init__(
        self,
        config: StartConfig,
        features: int,
        seeds: Sequence[int],
        *,
        clock: Clock,
        device: torch.device | str,
    ) -> None:
        self.config = config.vae
        self.vae = VAE(len(seeds), features, self.config).to(device)
        self.pretraining = NetworkPretraining(
            self.vae,
            self.vae.standard_bound,
            settings=config.pretraining,
            passes=self.config.epochs,
            batch_size=self.config.batch_size,
            learning_rate=self.config.learning_rate,
            clock=clock,
            seeds=seeds,
            device=device,
        )

    @torch.no_grad()
    def responsibilities(self, x: Tensor, draws: Draws) -> Tensor:
        """Return u = p(k | z) at the mean codes of x (N, F), shape (R, N, K).

        The mixture is fitted on draws of q(z | x); of several ones the graph of nearest
        neighbours of x decides, no labels.
        """
        vae, config = self.vae, self.config
        mixture = GaussianMixture(vae.stack, config.n_components, config.latent_size)
        mixture = mixture.to(x.device)
        codes = vae.drawn_codes(x, draws)
        fit_best_mixture(mixture, codes, vae.embed, x, draws, starts=STARTS, covariance="full")
        parts = vae.embed(x).split(4096, dim=1)
        return torch.cat([mixture.log_responsibilities(part) for part in parts], dim=1).exp()
