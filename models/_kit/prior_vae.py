"""A variational autoencoder that is pretrained, then trained with a prior or centres."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from ...methods.config import Scalar, setting
from ...methods.contract import Bounds, Decodes, Generates, Pretrains, Report, Shape
from .bounds import antithetic_noise
from .draws import Draws
from .loop import adam, batch_indices, chunk_size, descent, train_epoch
from .outputs import validate_and_flatten
from .pretraining import NetworkPretraining
from .stack import NetworkClusterer, StackedMethod, StackedNetwork
from .vae import VAE, VAEConfig


@dataclass(frozen=True, kw_only=True)
class PriorVAEConfig(VAEConfig, ABC):
    """Settings of a method that pretrains a VAE and then trains it with its clusters."""

    pretraining_epochs: int = setting(25, "epochs of pretraining with the prior N(0, I)", low=0)
    pretraining_learning_rate: float = setting(
        1e-3, "Adam's learning rate in pretraining", low=0.0
    )
    pretraining_batch_size: int = setting(128, "points per step of pretraining", low=1)
    epochs: int = setting(25, "epochs of joint training", low=1)
    learning_rate: float = setting(1e-3, "Adam's learning rate in joint training", low=0.0)
    batch_size: int = setting(128, "points per step of joint training", low=1)
    temperature: float = setting(
        0.5, "variance of sampled codes", unit="of their cluster's variance", low=0.0, high=1.0
    )

    @property
    def passes(self) -> int:
        """Epochs of pretraining and of joint training."""
        return self.pretraining_epochs + self.epochs

    @property
    def pretraining(self) -> dict[str, Scalar]:
        """The settings that the pretrained VAE depends on, empty without pretraining."""
        if self.pretraining_epochs == 0:
            return {}
        network = {f.name for f in fields(VAEConfig)} - {"n_components"}
        own = {f.name for f in fields(PriorVAEConfig) if f.name.startswith("pretraining_")}
        return {"network": "vae", **{name: getattr(self, name) for name in sorted(network | own)}}

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs, in the same proportions.

        At least one epoch is joint training, because only that makes clusters.
        """
        if self.passes <= epochs:
            return self
        joint = max(1, round(epochs * self.epochs / self.passes))
        return replace(self, pretraining_epochs=epochs - joint, epochs=joint)


class PriorVAENetwork(StackedNetwork, ABC):
    """S VAEs, each with a prior and clusters of its codes."""

    config: PriorVAEConfig

    @abstractmethod
    def __init__(self, stack: int, shape: Shape, config: PriorVAEConfig) -> None:
        super().__init__(stack, shape, config)
        self.config = config
        self.vae = VAE(stack, torch.Size(shape).numel(), config)

    @abstractmethod
    def initialise_clusters(self, x: Tensor, draws: Draws) -> None:
        """Initialise the prior or the centres from the codes of x (N, F)."""

    @abstractmethod
    def update_statistics(self, x: Tensor, draws: Draws) -> None:
        """Update, after an epoch on x (N, F), the buffers that gradients do not train."""

    @abstractmethod
    def log_prior(self, z: Tensor) -> Tensor:
        """Return log p(z), shape (S, N), of codes z (S, N, D)."""

    @abstractmethod
    def log_responsibilities(self, z: Tensor) -> Tensor:
        """Return log p(cluster | z), shape (S, N, K), of codes z (S, N, D)."""

    @abstractmethod
    def sample_cluster(self, cluster: int, noise: Tensor) -> Tensor:
        """Return codes of a cluster, (S, n, D), made from standard normal noise (S, n, D)."""

    @final
    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), (S, N, D), of x (N, F)."""
        return self.vae.embed(x)

    @final
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | z) at the means of q(z | x), (S, N, K), of x (N, F)."""
        parts = self.vae.embed(x).split(chunk_size(x.device), dim=1)
        return torch.cat([self.log_responsibilities(part) for part in parts], dim=1)


class PriorVAEClusterer(NetworkClusterer, Decodes, Generates, Bounds, ABC):
    """One VAE with its prior and clusters."""

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
        z = self.draw_codes(self.network.sample_cluster, cluster, n, seed)
        return self.unflatten(self.network.vae.decode(z).base_dist.mean)

    @final
    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)] under the method's prior, (N,).

        The mean is over 16 codes, made of eight fixed draws and their negatives.
        """
        noise = antithetic_noise(self.network.config.latent_size, x)
        return self.network.vae.elbo(x.flatten(1), noise, self.network.log_prior)[0]


class PriorVAEMethod(StackedMethod, Pretrains, ABC):
    """A method that pretrains a VAE, initialises clusters from its codes, then trains both."""

    clusterer_type: ClassVar[type[PriorVAEClusterer]]
    config: PriorVAEConfig
    network: PriorVAENetwork
    pretraining: NetworkPretraining

    @final
    def build(self) -> None:
        """Create the network, its pretraining and the joint optimiser."""
        self.network = self.stacked(self.clusterer_type.network_type)
        vae = self.network.vae
        self.pretraining = self.pretraining_of(vae, vae.standard_bound, self.config)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)

    @abstractmethod
    def loss(self, x: Tensor, epoch: Tensor) -> Mapping[str, Tensor]:
        """Return the metrics (R,), including "loss", of a batch (R, B, F) in an epoch ≥ 1, ()."""

    @final
    def fit(self, x: Tensor) -> Iterator[Report]:
        """Pretrain the VAE, initialise the clusters from its codes, then train both."""
        config, network = self.config, self.network
        points = validate_and_flatten(x, config)
        yield from self.pretraining.fit(points)
        step = descent(points, self.loss, self.optimiser, self.draws)
        for epoch in self.clock.count("joint", config.epochs):
            if epoch == 1:
                network.initialise_clusters(points, self.draws)
            batches = batch_indices(len(points), config.batch_size, self.draws)
            metrics = train_epoch(step, batches, self.scalar(epoch))
            network.update_statistics(points, self.draws)
            yield Report(stage="joint", epoch=self.clock.epoch, metrics=metrics)


def assignment_metrics(log_r: Tensor) -> dict[str, Tensor]:
    """Return two measures of how well log-responsibilities (S, B, K) separate points, each (S,).

    "assignment_entropy" is the mean of H[r_i]: log K if all clusters overlap, 0 if none do.
    "information" is H[mean of r_i] minus it: log K at best, 0 if the clusters overlap or if one of
    them has all points. Both are in nats.
    """
    entropy = -(log_r.exp() * log_r).sum(dim=-1).mean(dim=1)
    mean = log_r.logsumexp(dim=1).log_softmax(dim=-1)
    return {
        "assignment_entropy": entropy,
        "information": -(mean.exp() * mean).sum(dim=-1) - entropy,
    }
