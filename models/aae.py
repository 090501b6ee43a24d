"""The adversarial autoencoder for clustering: cluster and style codes are matched to priors.

Adversarial Autoencoders (Makhzani et al., 2016). Notation as in the paper: point x, cluster y,
style z.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

from ..methods.config import setting
from ..methods.contract import Decodes, Generates, Report, Shape
from ._kit.adversarial import AdversarialConfig, NoisyMLP, add_noise, frozen
from ._kit.assignments import AssignmentPenalties
from ._kit.draws import Draws
from ._kit.layers import MLP, Head, initialise
from ._kit.loop import adam, batch_indices, gradient_step, in_chunks, train_epoch
from ._kit.outputs import validate_and_flatten
from ._kit.precision import mixed_precision
from ._kit.recording import Step
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class AAEConfig(AdversarialConfig):
    """Settings of the autoencoder and of its two discriminators."""

    style_size: int = setting(5, "size of the style z", low=1, high=256)
    hidden_size: int = setting(
        1000,
        "units per hidden layer, two in every network; 3000 in the paper",
        low=1,
        high=8192,
    )
    batch_norm: bool = setting(True, "normalise the hidden layers of the encoder")
    noise: float = setting(
        0.3, "noise on points before encoding", unit="standard deviation", low=0.0
    )
    code_noise: float = setting(
        0.3, "noise on codes before discrimination", unit="standard deviation", low=0.0
    )
    augmentation_weight: float = setting(
        1.0, "weight of the divergence between the assignments of a point and its copy", low=0.0
    )
    vat_weight: float = setting(
        1.0, "weight of the divergence under the small change that matters most", low=0.0
    )
    balance_weight: float = setting(
        1.0, "weight of the gap between the mean assignment's entropy and its maximum", low=0.0
    )
    certainty_weight: float = setting(0.4, "weight of the entropy of each assignment", low=0.0)
    learning_rate: float = setting(1e-3, "Adam's learning rate for the reconstruction", low=0.0)
    adversarial_learning_rate: float = setting(
        1e-3, "Adam's learning rate for discrimination and confusion", low=0.0
    )


@final
class AAENetwork(StackedNetwork):
    """S autoencoders: points (S, B, F) to q(y | x) and styles (S, B, D), and back."""

    def __init__(self, stack: int, shape: Shape, config: AAEConfig) -> None:
        super().__init__(stack, shape, config)
        self.config = config
        features, hidden = torch.Size(shape).numel(), [config.hidden_size] * 2
        self.encoder = Encoder(stack, features, config)
        code = config.n_components + config.style_size
        self.decoder = MLP(stack, [code, *hidden], torch.relu)
        self.output = Head(stack, hidden[-1], features)

    def decode(self, y: Tensor, z: Tensor) -> Tensor:
        """Return points (S, B, F) of clusters (S, B, K), one-hot or probabilities, and styles."""
        x = self.output(self.decoder(torch.cat([y, z], dim=-1)))
        return self.config.output_activation(x)

    def squared_error(self, x: Tensor, both: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the mean of (x - x̂)² over points and features, (S,), of x (S, B, F).

        Also return log q(y | x), (S, B or 2B, K), of `both`, which begin with the points.
        """
        n = x.shape[1]
        q, z = self.encoder(both, draws)
        error = (self.decode(q.probs[:, :n], z[:, :n]) - x).square().mean(dim=(1, 2))
        return error, q.logits

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log q(y | x), shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.encoder(self.expand(part))[0].logits, x)

    def embed(self, x: Tensor) -> Tensor:
        """Return q(y | x) and the style, concatenated, shape (S, N, K + D), of x (N, F)."""

        def code(part: Tensor) -> Tensor:
            q, z = self.encoder(self.expand(part))
            return torch.cat([q.probs, z], dim=-1)

        return in_chunks(code, x)


@final
class Encoder(nn.Module):
    """S encoders, deterministic except for the noise on their points."""

    def __init__(self, stack: int, features: int, config: AAEConfig) -> None:
        super().__init__()
        sizes = [features, config.hidden_size, config.hidden_size]
        self.noise = config.noise
        self.layers = MLP(stack, sizes, torch.relu, norm=config.batch_norm)
        self.cluster = Head(stack, sizes[-1], config.n_components)
        self.style = Head(stack, sizes[-1], config.style_size)

    def forward(self, x: Tensor, draws: Draws | None = None) -> tuple[Categorical, Tensor]:
        """Return q(y | x), batch shape (S, B), and the style z, (S, B, D), of x (S, B, F)."""
        h = self.layers(add_noise(x, self.noise, draws))
        return Categorical(logits=self.cluster(h), validate_args=False), self.style(h)


@final
class Discriminator(nn.Module):
    """S discriminators: codes (S, B, D) to the log-odds that they come from the prior."""

    def __init__(self, stack: int, size: int, config: AAEConfig) -> None:
        super().__init__()
        sizes, noise = [size, config.hidden_size, config.hidden_size], config.code_noise
        self.layers = NoisyMLP(stack, sizes, noise=noise, hidden_noise=0.0, norm=False)
        self.log_odds = Head(stack, sizes[-1], 1)

    def forward(self, code: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the log-odds, (S, B)."""
        return self.log_odds(self.layers(code, draws)).squeeze(-1)


def discrimination_loss(drawn: Tensor, encoded: Tensor) -> Tensor:
    """Return -mean log D(drawn) - mean log(1 - D(encoded)), (S,), of log-odds (S, B)."""
    return -(F.logsigmoid(drawn) + F.logsigmoid(-encoded)).mean(dim=1)


def confusion_loss(encoded: Tensor) -> Tensor:
    """Return -mean log D(encoded), (S,), of log-odds (S, B)."""
    return -F.logsigmoid(encoded).mean(dim=1)


def one_hot(n: int, clusters: int, draws: Draws) -> Tensor:
    """Return n draws from Cat(1/K) for every replica, one-hot, (R, n, K)."""
    index = (clusters * draws.uniform(n)).long()
    return torch.eye(clusters, device=index.device)[index]


@final
class AAEClusterer(NetworkClusterer, Decodes, Generates):
    """One autoencoder whose code contains the cluster."""

    network_type = AAENetwork
    network: AAENetwork

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        sizes = [self.config.n_components, self.config.style_size]
        return self.decode_codes(x, lambda code: self.network.decode(*code.split(sizes, dim=-1)))

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return decoded (y, z), y the cluster and z ~ N(0, I), shape (n, *shape).

        Training matches y and z to their priors separately, not jointly. If styles carry
        information about clusters, such a pair differs from the pairs of real points.
        """
        device = self.network.output.weight.device
        z = Draws([seed], device).normal(n, self.config.style_size)
        y = torch.eye(self.config.n_components, device=device)[cluster].expand(1, n, -1)
        return self.unflatten(self.network.decode(y, z))


@final
class AAE(StackedMethod):
    """Train an autoencoder whose clusters and styles match draws from Cat(1/K) and N(0, I).

    The paper uses gradient descent with momentum and hidden layers of 3000 units; here every step
    uses Adam, and that of the reconstruction can penalise q(y | x). Noise on codes
    keeps the cluster discriminator from distinguishing probabilities of 0.99 from 1.
    """

    config_type = AAEConfig
    clusterer_type = AAEClusterer
    config: AAEConfig
    network: AAENetwork
    source = "Adversarial Autoencoders (Makhzani et al., 2016), unsupervised clustering"

    def build(self) -> None:
        """Create the autoencoder, both discriminators and an optimiser per training step."""
        self.network, config = self.stacked(AAENetwork), self.config
        sizes = {"cluster": config.n_components, "style": config.style_size}
        self.discriminators = nn.ModuleDict(
            {name: Discriminator(len(self.seeds), size, config) for name, size in sizes.items()}
        ).to(self.draws.device)
        for network in (self.network, self.discriminators):
            initialise(network, self.draws)
        self.penalties = AssignmentPenalties(config, self.shape)
        rate = config.adversarial_learning_rate
        self.reconstruction = adam(self.network.parameters(), config.learning_rate)
        self.discrimination = config.optimiser(self.discriminators, learning_rate=rate)
        self.confusion = config.optimiser(self.network.encoder, learning_rate=rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """On every batch reconstruct, discriminate codes from draws, then confuse."""
        config = self.config
        points = validate_and_flatten(x, config)
        radius = config.radius(points)
        step = Step(lambda index, radius: self._step(points[index], radius), self.draws)
        for _ in self.clock.count("game", config.epochs):
            batches = batch_indices(len(points), config.batch_size, self.draws)
            metrics = train_epoch(step, batches, radius)
            yield Report(stage="game", epoch=self.clock.epoch, metrics=metrics)

    def _step(self, batch: Tensor, radius: Tensor) -> dict[str, Tensor]:
        losses = self.reconstruction_step(batch, radius)
        losses |= self.discrimination_step(batch)
        losses |= self.confusion_step(batch)
        return losses

    def reconstruction_step(self, batch: Tensor, radius: Tensor) -> dict[str, Tensor]:
        """Update encoder and decoder on the squared error and return it, (R,).

        The loss includes the penalties on q(y | x), in whose small changes `radius` is the length.
        """
        network, draws = self.network, self.draws
        both = self.penalties.with_copies(batch, draws)
        with mixed_precision(batch.device, batch.shape[2]):
            error, log_q = network.squared_error(batch, both, draws)
            penalty, penalties = self.penalties(
                lambda points: network.encoder(points, draws)[0].logits,
                batch,
                log_q,
                radius,
                draws,
            )
        gradient_step(self.reconstruction, error + penalty)
        metrics = {"loss": error, **penalties}
        return {name: value.detach() for name, value in metrics.items()}

    def discrimination_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Update both discriminators to tell codes from draws and return their losses, (R,)."""
        n, config, draws = batch.shape[1], self.config, self.draws
        cluster, style = self.discriminators["cluster"], self.discriminators["style"]
        with mixed_precision(batch.device, batch.shape[2]):
            with torch.no_grad():
                q, z = self.network.encoder(batch, draws)
            y_drawn, z_drawn = one_hot(n, config.n_components, draws), draws.normal(*z.shape[1:])
            y_loss = discrimination_loss(cluster(y_drawn, draws), cluster(q.probs, draws))
            z_loss = discrimination_loss(style(z_drawn, draws), style(z, draws))
        gradient_step(self.discrimination, y_loss + z_loss)
        return {"cluster_discrimination": y_loss, "style_discrimination": z_loss}

    def confusion_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Update the encoder to confuse both discriminators and return its losses, (R,)."""
        cluster, style = self.discriminators["cluster"], self.discriminators["style"]
        with mixed_precision(batch.device, batch.shape[2]), frozen(self.discriminators):
            q, z = self.network.encoder(batch, self.draws)
            y_loss = confusion_loss(cluster(q.probs, self.draws))
            z_loss = confusion_loss(style(z, self.draws))
        gradient_step(self.confusion, y_loss + z_loss)
        return {"cluster_confusion": y_loss, "style_confusion": z_loss}
