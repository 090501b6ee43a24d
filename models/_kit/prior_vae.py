"""A variational autoencoder trained alone, then together with a prior or with centres."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from ...methods.config import Scalar, setting
from ...methods.contract import Bounds, Decodes, Generates, Pretrains, Report, Shape
from .bounds import antithetic_noise
from .loop import Clock, adam, descend_pass
from .networks import Draws
from .outputs import flattened
from .pretraining import NetworkPretraining
from .stack import NetworkClusterer, StackedMethod, StackedNetwork
from .vae import VAE, VAEConfig


@dataclass(frozen=True, kw_only=True)
class PriorVAEConfig(VAEConfig, ABC):
    """What a method has to be told that warms up a VAE and then trains it with its clusters."""

    pretraining_epochs: int = setting(25, "passes of the VAE alone, its prior N(0, I)", low=0)
    pretraining_learning_rate: float = setting(
        1e-3, "Adam's learning rate for the VAE alone", low=0.0
    )
    pretraining_batch_size: int = setting(128, "points of a step for the VAE alone", low=1)
    epochs: int = setting(25, "passes of VAE and clusters together", low=1)
    learning_rate: float = setting(
        1e-3, "Adam's learning rate for VAE and clusters together", low=0.0
    )
    batch_size: int = setting(128, "points of a step for VAE and clusters together", low=1)
    temperature: float = setting(
        0.5, "variance of new codes", unit="of their cluster's variance", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """The passes of the VAE alone and those with its clusters."""
        return self.pretraining_epochs + self.epochs

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that the pretrained VAE depends on; empty without passes."""
        if self.pretraining_epochs == 0:
            return {}
        network = {f.name for f in fields(VAEConfig)} - {"n_components"}
        own = {f.name for f in fields(PriorVAEConfig) if f.name.startswith("pretraining_")}
        return {"network": "vae", **{name: getattr(self, name) for name in sorted(network | own)}}

    def capped(self, epochs: int) -> Self:
        """Return the configuration with at most that many passes, shared as before.

        The last pass to go is the one that makes clusters.
        """
        if self.passes <= epochs:
            return self
        together = max(1, round(epochs * self.epochs / self.passes))
        return replace(self, pretraining_epochs=epochs - together, epochs=together)


class PriorVAENetwork(StackedNetwork, ABC):
    """S VAEs, each with a prior and with clusters of its codes."""

    config: PriorVAEConfig

    @abstractmethod
    def __init__(self, stack: int, shape: Shape, config: PriorVAEConfig) -> None:
        super().__init__(stack, shape, config)
        self.config = config
        self.vae = VAE(stack, torch.Size(shape).numel(), config)

    @abstractmethod
    def start_clusters(self, x: Tensor, draws: Draws) -> None:
        """Start the prior or the centres among the codes of x (N, F)."""

    @abstractmethod
    def measure_clusters(self, x: Tensor, draws: Draws) -> None:
        """Take from the codes of x (N, F), after a pass, what no gradient trains."""

    @abstractmethod
    def log_prior(self, z: Tensor) -> Tensor:
        """Return log p(z), shape (S, N), of codes z (S, N, D)."""

    @abstractmethod
    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(cluster | z), shape (S, N, K), of codes z (S, N, D)."""

    @abstractmethod
    def place(self, cluster: int, noise: Tensor) -> Tensor:
        """Return codes of a cluster, (S, n, D), that standard normal noise (S, n, D) makes."""

    @final
    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return self.vae.embed(x)

    @final
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | z) at the means of q(z | x), (S, N, K), of x (N, F)."""
        parts = self.vae.embed(x).split(4096, dim=1)
        return torch.cat([self.log_responsibilities(part) for part in parts], dim=1)


class PriorVAEClusterer(NetworkClusterer, Decodes, Generates, Bounds, ABC):
    """One VAE with its prior and its clusters."""

    network_type: ClassVar[type[PriorVAENetwork]]
    network: PriorVAENetwork

    @final
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.network.vae.reconstruct(x.flatten(1))[0].view(len(x), *self.shape)

    @final
    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · v_c), shape (n, *shape)."""
        device = next(self.network.parameters()).device
        noise = Draws([seed], device).normal(n, self.network.config.latent_size)
        z = self.network.place(cluster, self.network.config.temperature**0.5 * noise)
        return self.network.vae.decode(z).base_dist.mean[0].view(n, *self.shape)

    @final
    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] under the method's prior, (N,).

        The mean is over 16 codes, eight draws that are always the same and their mirror images.
        """
        noise = antithetic_noise(self.network.config.latent_size, x)
        return self.network.vae.elbo(x.flatten(1), noise, self.network.log_prior)[0]


class PriorVAEMethod(StackedMethod, Pretrains, ABC):
    """A method that warms up a VAE, starts clusters among its codes, then trains both."""

    clusterer_type: ClassVar[type[PriorVAEClusterer]]
    config: PriorVAEConfig
    network: PriorVAENetwork
    pretraining: NetworkPretraining

    @final
    def __init__(
        self,
        config: PriorVAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        network_type = self.clusterer_type.network_type
        self.network = network_type(len(seeds), self.shape, config).to(device)
        vae = self.network.vae
        self.pretraining = NetworkPretraining(
            vae, vae.standard_bound, config, clock=self.clock, seeds=seeds, device=device
        )
        self.optimiser = adam(self.network.parameters(), config.learning_rate)

    @abstractmethod
    def loss(self, x: Tensor, done: int) -> Mapping[str, Tensor]:
        """Return the metrics (R,) of a batch (R, B, F) of pass `done` ≥ 1, "loss" among them."""

    @final
    def fit(self, x: Tensor) -> Iterator[Report]:
        """Warm up the VAE, start the clusters among its codes, then train both."""
        config, network = self.config, self.network
        points = flattened(x, config)
        yield from self.pretraining.descend(points)
        for done in self.clock.count("joint", config.epochs):
            if done == 1:
                network.start_clusters(points, self.draws)
            metrics = descend_pass(
                points,
                partial(self.loss, done=done),
                self.optimiser,
                batch_size=config.batch_size,
                draws=self.draws,
            )
            network.measure_clusters(points, self.draws)
            yield Report(stage="joint", epoch=self.clock.epoch, metrics=metrics)


def assignment_metrics(log_r: Tensor) -> dict[str, Tensor]:
    """Return how log-responsibilities (S, B, K) tell points apart, in nats, each (S,).

    "assignment_entropy" is the mean of H[r_i]: log K where all clusters overlap, 0 where none do.
    "information" is H[mean of r_i] minus it: 0 where the clusters say nothing of a point, be it
    because they overlap or because one has all points; log K at best.
    """
    entropy = -(log_r.exp() * log_r).sum(dim=-1).mean(dim=1)
    mean = log_r.logsumexp(dim=1).log_softmax(dim=-1)
    return {
        "assignment_entropy": entropy,
        "information": -(mean.exp() * mean).sum(dim=-1) - entropy,
    }
