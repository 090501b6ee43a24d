"""VAEIC: a VAE that learns its mixture prior and its cluster assignment jointly, from scratch.

Variational Clustering: Leveraging Variational Autoencoders for Image Clustering (Prasad, Das &
Bhowmick, 2020). Generative model and approximate posterior:

    c ~ Cat(π),  z | c ~ N(μ_c, diag σ_c²),  x | z ~ p(x | z);  q(c, z | x) = q(c | x) q(z | x).

From the paper: a Gaussian mixture prior learnt together with the posterior, no pretraining, and a
loss that keeps the assignments of an image and of its augmented copy equal.

Choices of this implementation: q(c | x) has its own head, is summed out of the bound instead of
sampled, and is independent of q(z | x), so that a point is decoded once, not K times. The
divergence between the two assignments is symmetric. The mean assignment of a batch is kept uniform
and each assignment is made certain, because otherwise one assignment for all points is a minimum.
Virtual adversarial training (`vat_weight`) keeps the boundaries between clusters away from points,
without which pairs of digits are shared out between two clusters. Layers, sizes and weights are
chosen here too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor
from torch.distributions import Independent

from ..methods.config import setting
from ..methods.contract import Bounds, Decodes, Generates, Report, Shape
from ._kit.assignments import AssignmentConfig, AssignmentPenalties, penalised_descent
from ._kit.bounds import antithetic_bound, antithetic_noise
from ._kit.distributions import (
    diagonal_normal,
    independent_bernoulli,
    log_prob,
    rsample,
)
from ._kit.draws import Draws
from ._kit.layers import MLP, GaussianHead, Head, initialise
from ._kit.loop import adam, batch_indices, in_chunks, train_epoch
from ._kit.outputs import validate_and_flatten
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork
from ._kit.trainable_mixture import TrainableMixture
from ._kit.vae import VAEConfig


@final
@dataclass(frozen=True, kw_only=True)
class VAEICConfig(AssignmentConfig, VAEConfig):
    """Settings of networks, losses and augmentation; the paper publishes none of them."""

    hidden_size: int = setting(500, "units per hidden layer", low=1, high=8192)
    batch_norm: bool = setting(True, "normalise the hidden layers of encoder and decoder")
    augmentation_weight: float = setting(
        200.0, "weight of the divergence between the assignments of a point and its copy", low=0.0
    )
    vat_weight: float = setting(
        200.0, "weight of the divergence under the small change that matters most", low=0.0
    )
    balance_weight: float = setting(
        200.0, "weight of the gap between the mean assignment's entropy and its maximum", low=0.0
    )
    certainty_weight: float = setting(80.0, "weight of the entropy of each assignment", low=0.0)
    learning_rate: float = setting(1e-3, "Adam's learning rate", low=0.0)
    batch_size: int = setting(100, "points per step", low=1)
    epochs: int = setting(50, "passes over the data", low=1)
    temperature: float = setting(
        0.5, "variance of sampled codes", unit="of their component's variance", low=0.0, high=1.0
    )
    jitter: float = setting(
        0.1,
        "standard deviation of the noise on points that are not images",
        unit="of the scaled data",
        low=0.0,
    )

    @property
    def passes(self) -> int:
        """Epochs of the whole training."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs."""
        return replace(self, epochs=max(1, min(self.epochs, epochs)))


@final
class VAEICNetwork(StackedNetwork):
    """S encoders with heads for q(c | x) and q(z | x), decoders and mixture priors."""

    def __init__(self, stack: int, shape: Shape, config: VAEICConfig) -> None:
        super().__init__(stack, shape, config)
        features = torch.Size(shape).numel()
        hidden, code = [config.hidden_size] * config.hidden_layers, config.latent_size
        norm = config.batch_norm
        self.config = config
        self.encoder = MLP(stack, [features, *hidden], torch.relu, norm=norm)
        self.assignment = Head(stack, hidden[-1], config.n_components)
        self.code = GaussianHead(stack, hidden[-1], code)
        self.prior = TrainableMixture(stack, config.n_components, code)
        self.decoder = MLP(stack, [code, *hidden], torch.relu, norm=norm)
        self.output = Head(stack, hidden[-1], features)

    def encode(self, h: Tensor) -> Independent:
        """Return q(z | x) of the encoder's last layer h (S, B, H)."""
        return self.code(h)

    def assign(self, h: Tensor) -> Tensor:
        """Return log q(c | x), shape (S, B, K), of the encoder's last layer h (S, B, H)."""
        return self.assignment(h).log_softmax(dim=-1)

    def decode(self, z: Tensor) -> Independent:
        """Return p(x | z) of codes (S, B, D)."""
        output = self.output(self.decoder(z))
        if self.config.likelihood == "bernoulli":
            return independent_bernoulli(output)
        return diagonal_normal(output, torch.full_like(output, self.config.scale))

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log q(c | x), shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.assign(self._hidden(part)), x)

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(z | x), shape (S, N, D), of x (N, F)."""
        return in_chunks(lambda part: self.encode(self._hidden(part)).base_dist.mean, x)

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z)] + H(q(z | x)), shape (S, N), of x (N, F).

        The mean is over z = m ± s ε with the given ε (M, D).
        """
        return antithetic_bound(
            lambda points: self.encode(self.encoder(points)),
            self.decode,
            self.prior.log_prob,
            x,
            noise,
            stack=self.stack,
        )

    def _hidden(self, x: Tensor) -> Tensor:
        return self.encoder(self.expand(x))


@final
class VAEICClusterer(NetworkClusterer, Decodes, Generates, Bounds):
    """One trained VAE with its mixture prior and assignment head."""

    network_type = VAEICNetwork
    config: VAEICConfig
    network: VAEICNetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the mean of q(z | x), shape (N, *shape)."""
        return self.decode_codes(x, lambda z: self.network.decode(z).base_dist.mean)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return the means of p(x | z), z ~ N(μ_c, temperature · σ_c²), shape (n, *shape)."""
        z = self.draw_codes(self.network.prior.sample_component, cluster, n, seed)
        return self.unflatten(self.network.decode(z).base_dist.mean)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z | x)], c summed out of p(z), (N,).

        At least as tight as the training bound, which also pays for q(c | x). The mean is over
        16 codes, made of eight fixed draws and their negatives.
        """
        return self.network.elbo(x.flatten(1), antithetic_noise(self.config.latent_size, x))[0]


@final
class VAEIC(StackedMethod):
    """Train on the bound, the augmentation loss and uniform, certain assignments."""

    config: VAEICConfig
    network: VAEICNetwork
    config_type = VAEICConfig
    clusterer_type = VAEICClusterer
    source = (
        "Variational Clustering: Leveraging Variational Autoencoders for Image Clustering "
        "(2020), its mixture prior and augmentation loss"
    )

    def build(self) -> None:
        """Create the network, its optimiser and the penalties."""
        self.network = self.stacked(VAEICNetwork)
        initialise(self.network, self.draws)
        self.network.prior.scatter(self.draws)
        self.optimiser = adam(self.network.parameters(), self.config.learning_rate)
        self.penalties = AssignmentPenalties(self.config, self.shape)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x, shape (N, *shape); metrics are means over an epoch, in nats."""
        points = validate_and_flatten(x, self.config)
        radius = self.config.radius(points)
        step = penalised_descent(points, self.losses, self.penalties, self.optimiser, self.draws)
        for _ in self.clock.count("train", self.config.epochs):
            self.network.train()
            batches = batch_indices(len(points), self.config.batch_size, self.draws)
            metrics = train_epoch(step, batches, radius)
            yield Report(stage="train", epoch=self.clock.epoch, metrics=metrics)

    def losses(self, x: Tensor, both: Tensor, radius: Tensor) -> dict[str, Tensor]:
        """Return the loss of points x (R, B, F) and its terms, (R,).

        `both` are the points and their copies, and `radius` is the length of the small changes of
        virtual adversarial training.
        """
        network, n = self.network, x.shape[1]
        h = network.encoder(both)
        log_q = network.assign(h)
        terms = lower_bound(network, x, h[:, :n], log_q[:, :n], self.draws)
        penalty, penalties = self.penalties(
            lambda points: network.assign(network.encoder(points)), x, log_q, radius, self.draws
        )
        return {"loss": penalty - terms["elbo"], **terms, **penalties}


def lower_bound(
    network: VAEICNetwork, x: Tensor, h: Tensor, log_q: Tensor, draws: Draws
) -> dict[str, Tensor]:
    """Return the evidence lower bound of x (S, B, F) and its terms, means over the batch, (S,).

    E_q(z|x) log p(x | z) - Σ_c q(c | x) KL(q(z | x) || p(z | c)) - KL(q(c | x) || π), one draw.
    """
    code = network.encode(h)
    reconstruction = log_prob(network.decode(rsample(code, draws)), x).mean(dim=1)
    weights = log_q.exp()
    kl = (weights * network.prior.kl_to_components(code)).sum(dim=2).mean(dim=1)
    cluster_kl = (
        (weights * (log_q - network.prior.log_weights().unsqueeze(1))).sum(dim=2).mean(dim=1)
    )
    return {
        "elbo": reconstruction - kl - cluster_kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "cluster_kl": cluster_kl,
    }
