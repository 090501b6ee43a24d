"""CatGAN: a classifier sure of every point and unsure of a forger's, who wants it to be sure.

Unsupervised and Semi-supervised Learning with Categorical Generative Adversarial Networks
(Springenberg, 2016). The paper's letters: classifier and discriminator D, generator G, noise v.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..methods.config import setting
from ..methods.contract import Report, Shape
from ._kit.adversarial import AdversarialConfig, NoisyPerceptron, frozen, leaky
from ._kit.loop import Clock, Mean, descend, fast_products, in_chunks, minibatches
from ._kit.networks import Draws, Head, Perceptron, initialise
from ._kit.outputs import flattened
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class CatGANConfig(AdversarialConfig):
    """Settings of the two players, fully connected.

    Both have one rate, the paper's. Marginal entropies are those of a batch: it should hold
    several points of every cluster.
    """

    hidden_size: int = setting(500, "units of a hidden layer", low=1, high=8192)
    hidden_layers: int = setting(2, "hidden layers of each player", low=1, high=8)
    batch_norm: bool = setting(True, "normalise the hidden layers of the discriminator")
    noise: float = setting(
        0.3, "noise on a point before D sees it", unit="standard deviation", low=0.0
    )
    hidden_noise: float = setting(
        0.5, "noise on the hidden layers of D", unit="standard deviation", low=0.0
    )
    noise_size: int = setting(100, "size of the noise v that G makes points of", low=1)
    learning_rate: float = setting(2e-4, "Adam's learning rate of both players", low=0.0)


def marginal_entropy(p: Categorical) -> Tensor:
    """Return H[mean_b p(y | x_b)] in nats, (S,), of p with batch shape (S, B)."""
    return _categorical(p.logits.logsumexp(dim=1)).entropy()


def conditional_entropy(p: Categorical) -> Tensor:
    """Return mean_b H[p(y | x_b)] in nats, (S,), of p with batch shape (S, B)."""
    return p.entropy().mean(dim=1)


def discriminator_loss(points: Categorical, forged: Categorical) -> Tensor:
    """Return minus what D goes up, (S,), in nats: it lies in [-2 log K, 0].

    H[mean_b p(y | x_b)] - mean_b H[p(y | x_b)] + mean_b H[p(y | G(v_b))]
    """
    information = marginal_entropy(points) - conditional_entropy(points)
    return -(information + conditional_entropy(forged))


def generator_loss(forged: Categorical) -> Tensor:
    """Return minus what G goes up, (S,), in nats: it lies in [-log K, 0].

    H[mean_b p(y | G(v_b))] - mean_b H[p(y | G(v_b))]
    """
    return conditional_entropy(forged) - marginal_entropy(forged)


def _categorical(logits: Tensor) -> Categorical:
    return Categorical(logits=logits, validate_args=False)


@final
class CatGANNetwork(StackedNetwork):
    """S discriminators: points (S, B, F) to p(y | x) over K clusters."""

    def __init__(self, stack: int, shape: Shape, config: CatGANConfig) -> None:
        super().__init__(stack, shape, config)
        self.stack = stack
        hidden = [config.hidden_size] * config.hidden_layers
        self.layers = NoisyPerceptron(
            stack,
            [torch.Size(shape).numel(), *hidden],
            noise=config.noise,
            hidden_noise=config.hidden_noise,
            norm=config.batch_norm,
        )
        self.logits = Head(stack, hidden[-1], config.n_components)

    def classify(self, x: Tensor, draws: Draws | None = None) -> Categorical:
        """Return p(y | x), batch shape (S, B); without noise where no draws are."""
        return _categorical(self.logits(self.layers(x, draws)))

    def classify_both(
        self, x: Tensor, forged: Tensor, draws: Draws
    ) -> tuple[Categorical, Categorical]:
        """Return p(y | x) and p(y | forged).

        Both are normalised as one batch, so that training and evaluation see the same moments.
        """
        p = self.classify(torch.cat([x, forged], dim=1), draws)
        ours, theirs = p.logits.tensor_split([x.shape[1]], dim=1)
        return _categorical(ours), _categorical(theirs)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(y | x), shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.classify(part.expand(self.stack, -1, -1)).logits, x)

    def embed(self, x: Tensor) -> Tensor:
        """Return D's last hidden layer, shape (S, N, H), of x (N, F)."""
        return in_chunks(lambda part: self.layers(part.expand(self.stack, -1, -1)), x)


@final
class Generator(nn.Module):
    """S generators: noise v ~ N(0, I) to points (S, B, F), normalised layer by layer."""

    def __init__(self, stack: int, shape: Shape, config: CatGANConfig) -> None:
        super().__init__()
        self.config = config
        hidden = [config.hidden_size] * config.hidden_layers
        self.layers = Perceptron(stack, [config.noise_size, *hidden], leaky, norm=True)
        self.output = Head(stack, hidden[-1], torch.Size(shape).numel())

    def forge(self, n: int, draws: Draws) -> Tensor:
        """Return n points of each generator, (S, n, F)."""
        v = draws.normal(n, self.config.noise_size)
        return self.config.bounded(self.output(self.layers(v)))


@final
class CatGANClusterer(NetworkClusterer):
    """One discriminator. What G makes belongs to no cluster in particular, so it is not kept."""

    network_type = CatGANNetwork


@final
class CatGAN(StackedMethod):
    """Trains a classifier of much information against a generator of points it is sure of.

    The layers here are fully connected, with noise on the input of each of D's.
    """

    config_type = CatGANConfig
    clusterer_type = CatGANClusterer
    config: CatGANConfig
    network: CatGANNetwork
    source = (
        "Unsupervised and Semi-supervised Learning with Categorical Generative Adversarial "
        "Networks (Springenberg, 2016), section 3"
    )

    def __init__(
        self,
        config: CatGANConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.network = CatGANNetwork(len(seeds), self.shape, config).to(device)
        self.generator = Generator(len(seeds), self.shape, config).to(device)
        for player in (self.network, self.generator):
            initialise(player, self.draws)
        rate = config.learning_rate
        self.optimiser = config.optimiser(self.network, learning_rate=rate)
        self.generator_optimiser = config.optimiser(self.generator, learning_rate=rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Let both players take a step on every batch, the classifier first."""
        config = self.config
        points = flattened(x, config)
        for _ in self.clock.count("game", config.epochs):
            mean = Mean()
            for batch in minibatches(points, config.batch_size, self.draws):
                mean.add(self.discriminator_step(batch) | self.generator_step(batch))
            yield Report(stage="game", epoch=self.clock.epoch, metrics=mean.result())

    def discriminator_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Move D alone, against forged points that stand still; return its losses, (R,)."""
        with fast_products(batch.device, batch.shape[2]):
            with torch.no_grad():
                forged = self.generator.forge(batch.shape[1], self.draws)
            ours, theirs = self.network.classify_both(batch, forged, self.draws)
        loss = descend(self.optimiser, discriminator_loss(ours, theirs))
        return {
            "loss": loss,
            "marginal_entropy": marginal_entropy(ours),
            "conditional_entropy": conditional_entropy(ours),
            "forged_entropy": conditional_entropy(theirs),
        }

    def generator_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Move G alone, against a D that stands still; return its loss, (R,)."""
        with fast_products(batch.device, batch.shape[2]), frozen(self.network):
            forged = self.generator.forge(batch.shape[1], self.draws)
            _, theirs = self.network.classify_both(batch, forged, self.draws)
        return {"generator_loss": descend(self.generator_optimiser, generator_loss(theirs))}
