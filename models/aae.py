"""The adversarial autoencoder that clusters: a code of one cluster and a style, both matched.

Adversarial Autoencoders (Makhzani et al., 2016). The paper's letters: point x, cluster y, style z.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

from ..methods.config import setting
from ..methods.contract import Decodes, Generates, Report, Shape
from ._kit.adversarial import AdversarialConfig, NoisyPerceptron, frozen, noisy
from ._kit.loop import Clock, Mean, adam, descend, fast_products, in_chunks, minibatches
from ._kit.networks import Draws, Head, Perceptron, initialise
from ._kit.outputs import flattened
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class AAEConfig(AdversarialConfig):
    """Settings of the autoencoder and of its two discriminators."""

    style_size: int = setting(5, "size of the style z", low=1, high=256)
    hidden_size: int = setting(
        1000,
        "units of a hidden layer, two in every network; the paper's is 3000",
        low=1,
        high=8192,
    )
    batch_norm: bool = setting(True, "normalise the hidden layers of the encoder")
    noise: float = setting(
        0.3, "noise on a point before it is encoded", unit="standard deviation", low=0.0
    )
    code_noise: float = setting(
        0.3, "noise on a code before it is judged", unit="standard deviation", low=0.0
    )
    learning_rate: float = setting(1e-3, "Adam's learning rate of the reconstruction", low=0.0)
    adversarial_learning_rate: float = setting(
        1e-3, "Adam's learning rate of discriminating and of confusing", low=0.0
    )


@final
class AAENetwork(StackedNetwork):
    """S autoencoders: points (S, B, F) to q(y | x) and styles (S, B, D), and both to points."""

    def __init__(self, stack: int, shape: Shape, config: AAEConfig) -> None:
        super().__init__(stack, shape, config)
        self.stack, self.config = stack, config
        features, hidden = torch.Size(shape).numel(), [config.hidden_size] * 2
        self.encoder = Encoder(stack, features, config)
        code = config.n_components + config.style_size
        self.decoder = Perceptron(stack, [code, *hidden], torch.relu)
        self.output = Head(stack, hidden[-1], features)

    def decode(self, y: Tensor, z: Tensor) -> Tensor:
        """Return points (S, B, F) of clusters (S, B, K), one-hot or probabilities, and styles."""
        x = self.output(self.decoder(torch.cat([y, z], dim=-1)))
        return self.config.bounded(x)

    def squared_error(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the mean of (x - x̂)² over points and features, (S,), of x (S, B, F)."""
        q, z = self.encoder(x, draws)
        return (self.decode(q.probs, z) - x).square().mean(dim=(1, 2))

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log q(y | x), shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.encoder(self._each(part))[0].logits, x)

    def embed(self, x: Tensor) -> Tensor:
        """Return q(y | x) and style side by side, shape (S, N, K + D), of x (N, F)."""

        def code(part: Tensor) -> Tensor:
            q, z = self.encoder(self._each(part))
            return torch.cat([q.probs, z], dim=-1)

        return in_chunks(code, x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes, shape (S, N, F), of x (N, F)."""

        def decoded(part: Tensor) -> Tensor:
            q, z = self.encoder(self._each(part))
            return self.decode(q.probs, z)

        return in_chunks(decoded, x)

    def _each(self, x: Tensor) -> Tensor:
        return x.expand(self.stack, -1, -1)


@final
class Encoder(nn.Module):
    """S encoders, deterministic but for the noise on their points."""

    def __init__(self, stack: int, features: int, config: AAEConfig) -> None:
        super().__init__()
        sizes = [features, config.hidden_size, config.hidden_size]
        self.noise = config.noise
        self.layers = Perceptron(stack, sizes, torch.relu, norm=config.batch_norm)
        self.cluster = Head(stack, sizes[-1], config.n_components)
        self.style = Head(stack, sizes[-1], config.style_size)

    def forward(self, x: Tensor, draws: Draws | None = None) -> tuple[Categorical, Tensor]:
        """Return q(y | x), batch shape (S, B), and the style z, (S, B, D), of x (S, B, F)."""
        h = self.layers(noisy(x, self.noise, draws))
        return Categorical(logits=self.cluster(h), validate_args=False), self.style(h)


@final
class Discriminator(nn.Module):
    """S discriminators: codes (S, B, D) to the log-odds that they are draws of the prior."""

    def __init__(self, stack: int, size: int, config: AAEConfig) -> None:
        super().__init__()
        sizes, noise = [size, config.hidden_size, config.hidden_size], config.code_noise
        self.layers = NoisyPerceptron(stack, sizes, noise=noise, hidden_noise=0.0, norm=False)
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
    """One autoencoder whose code names the cluster."""

    network_type = AAENetwork
    network: AAENetwork

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape)."""
        return self.network.reconstruct(x.flatten(1))[0].view(len(x), *self.shape)

    @torch.no_grad()
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return decoded (y, z), y the cluster and z ~ N(0, I), shape (n, *shape).

        Training matches y and z to their priors one by one, not the pair: as far as styles tell
        clusters apart, a pair drawn so is unlike those of points.
        """
        device = self.network.output.weight.device
        z = Draws([seed], device).normal(n, self.config.style_size)
        y = torch.eye(self.config.n_components, device=device)[cluster].expand(1, n, -1)
        return self.network.decode(y, z)[0].view(n, *self.shape)


@final
class AAE(StackedMethod):
    """Trains an autoencoder whose clusters and styles look drawn from Cat(1/K) and N(0, I).

    The paper descends by momentum; here all steps are Adam's. Its hidden layers have 3000 units.
    Noise on codes keeps the judge of clusters from telling shares of 0.99 from 1.
    """

    config_type = AAEConfig
    clusterer_type = AAEClusterer
    config: AAEConfig
    network: AAENetwork
    source = "Adversarial Autoencoders (Makhzani et al., 2016), unsupervised clustering"

    def __init__(
        self,
        config: AAEConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = AAENetwork(len(seeds), self.shape, config).to(device)
        sizes = {"cluster": config.n_components, "style": config.style_size}
        self.discriminators = nn.ModuleDict(
            {name: Discriminator(len(seeds), size, config) for name, size in sizes.items()}
        ).to(device)
        for player in (self.network, self.discriminators):
            initialise(player, self.draws)
        rate = config.adversarial_learning_rate
        self.reconstruction = adam(self.network.parameters(), config.learning_rate)
        self.discrimination = config.optimiser(self.discriminators, learning_rate=rate)
        self.confusion = config.optimiser(self.network.encoder, learning_rate=rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """On every batch reconstruct, tell codes from draws, then confuse who tells them."""
        config = self.config
        points = flattened(x, config)
        for _ in self.clock.count("game", config.epochs):
            mean = Mean()
            for batch in minibatches(points, config.batch_size, self.draws):
                losses = self.reconstruction_step(batch)
                losses |= self.discrimination_step(batch)
                losses |= self.confusion_step(batch)
                mean.add(losses)
            yield Report(stage="game", epoch=self.clock.epoch, metrics=mean.result())

    def reconstruction_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Move encoder and decoder alone, down the squared error; return it, (R,)."""
        with fast_products(batch.device, batch.shape[2]):
            error = self.network.squared_error(batch, self.draws)
        return {"loss": descend(self.reconstruction, error)}

    def discrimination_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Move both discriminators alone, to tell codes from draws; return their losses, (R,)."""
        n, config, draws = batch.shape[1], self.config, self.draws
        judges = self.discriminators
        with fast_products(batch.device, batch.shape[2]):
            with torch.no_grad():
                q, z = self.network.encoder(batch, draws)
            y_drawn, z_drawn = one_hot(n, config.n_components, draws), draws.normal(*z.shape[1:])
            y_loss = discrimination_loss(
                judges["cluster"](y_drawn, draws), judges["cluster"](q.probs, draws)
            )
            z_loss = discrimination_loss(
                judges["style"](z_drawn, draws), judges["style"](z, draws)
            )
        descend(self.discrimination, y_loss + z_loss)
        return {"cluster_discrimination": y_loss, "style_discrimination": z_loss}

    def confusion_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Move the encoder alone, to confuse both discriminators; return its losses, (R,)."""
        judges = self.discriminators
        with fast_products(batch.device, batch.shape[2]), frozen(judges):
            q, z = self.network.encoder(batch, self.draws)
            y_loss = confusion_loss(judges["cluster"](q.probs, self.draws))
            z_loss = confusion_loss(judges["style"](z, self.draws))
        descend(self.confusion, y_loss + z_loss)
        return {"cluster_confusion": y_loss, "style_confusion": z_loss}
