"""CatGAN: a classifier trained to be certain about real points and uncertain about generated ones.

Unsupervised and Semi-supervised Learning with Categorical Generative Adversarial Networks
(Springenberg, 2016). Notation as in the paper: classifier and discriminator D, generator G, noise
v. The generator is trained for points about which the classifier is certain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..methods.config import setting
from ..methods.contract import Report, Shape
from ._kit.adversarial import AdversarialConfig, NoisyMLP, frozen, leaky_relu
from ._kit.assignments import AssignmentPenalties
from ._kit.draws import Draws
from ._kit.layers import MLP, Head, initialise
from ._kit.loop import batch_indices, gradient_step, in_chunks, train_epoch
from ._kit.outputs import validate_and_flatten
from ._kit.precision import mixed_precision
from ._kit.recording import Step
from ._kit.stack import NetworkClusterer, StackedMethod, StackedNetwork


@final
@dataclass(frozen=True, kw_only=True)
class CatGANConfig(AdversarialConfig):
    """Settings of the two fully connected players.

    Both have the same learning rate, that of the paper. Marginal entropies are computed per batch,
    which should therefore contain several points of every cluster.
    """

    augmentation_weight: float = setting(
        1.0, "weight of the divergence between the assignments of a point and its copy", low=0.0
    )
    hidden_size: int = setting(500, "units per hidden layer", low=1, high=8192)
    hidden_layers: int = setting(2, "hidden layers per player", low=1, high=8)
    batch_norm: bool = setting(True, "normalise the hidden layers of the discriminator")
    noise: float = setting(
        0.3, "noise on the input of the discriminator", unit="standard deviation", low=0.0
    )
    hidden_noise: float = setting(
        0.5, "noise on the hidden layers of the discriminator", unit="standard deviation", low=0.0
    )
    noise_size: int = setting(100, "size of the generator's input noise v", low=1)
    learning_rate: float = setting(2e-4, "Adam's learning rate for both players", low=0.0)


def marginal_entropy(p: Categorical) -> Tensor:
    """Return H[mean_b p(y | x_b)] in nats, (S,), of p with batch shape (S, B)."""
    return _categorical(p.logits.logsumexp(dim=1)).entropy()


def conditional_entropy(p: Categorical) -> Tensor:
    """Return mean_b H[p(y | x_b)] in nats, (S,), of p with batch shape (S, B)."""
    return p.entropy().mean(dim=1)


def discriminator_loss(points: Categorical, generated: Categorical) -> Tensor:
    """Return minus the objective of D, (S,), in nats, between -2 log K and 0.

    H[mean_b p(y | x_b)] - mean_b H[p(y | x_b)] + mean_b H[p(y | G(v_b))]
    """
    information = marginal_entropy(points) - conditional_entropy(points)
    return -(information + conditional_entropy(generated))


def generator_loss(generated: Categorical) -> Tensor:
    """Return minus the objective of G, (S,), in nats, between -log K and 0.

    H[mean_b p(y | G(v_b))] - mean_b H[p(y | G(v_b))]
    """
    return conditional_entropy(generated) - marginal_entropy(generated)


def _categorical(logits: Tensor) -> Categorical:
    return Categorical(logits=logits, validate_args=False)


@final
class CatGANNetwork(StackedNetwork):
    """S discriminators: points (S, B, F) to p(y | x) over K clusters."""

    def __init__(self, stack: int, shape: Shape, config: CatGANConfig) -> None:
        super().__init__(stack, shape, config)
        hidden = [config.hidden_size] * config.hidden_layers
        self.layers = NoisyMLP(
            stack,
            [torch.Size(shape).numel(), *hidden],
            noise=config.noise,
            hidden_noise=config.hidden_noise,
            norm=config.batch_norm,
        )
        self.logits = Head(stack, hidden[-1], config.n_components)

    def classify(self, x: Tensor, draws: Draws | None = None) -> Categorical:
        """Return p(y | x), batch shape (S, B), without noise unless draws are given."""
        return _categorical(self.logits(self.layers(x, draws)))

    def classify_both(
        self, x: Tensor, generated: Tensor, draws: Draws
    ) -> tuple[Categorical, Categorical]:
        """Return p(y | x) and p(y | generated).

        Both are normalised as one batch, so that training and evaluation use the same moments.
        """
        p = self.classify(torch.cat([x, generated], dim=1), draws)
        real, fake = p.logits.tensor_split([x.shape[1]], dim=1)
        return _categorical(real), _categorical(fake)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(y | x), shape (S, N, K), of x (N, F)."""
        return in_chunks(lambda part: self.classify(self.expand(part)).logits, x)

    def embed(self, x: Tensor) -> Tensor:
        """Return the last hidden layer of D, shape (S, N, H), of x (N, F)."""
        return in_chunks(lambda part: self.layers(self.expand(part)), x)


@final
class Generator(nn.Module):
    """S generators: noise v ~ N(0, I) to points (S, B, F), every layer normalised."""

    def __init__(self, stack: int, shape: Shape, config: CatGANConfig) -> None:
        super().__init__()
        self.config = config
        hidden = [config.hidden_size] * config.hidden_layers
        self.layers = MLP(stack, [config.noise_size, *hidden], leaky_relu, norm=True)
        self.output = Head(stack, hidden[-1], torch.Size(shape).numel())

    def generate(self, n: int, draws: Draws) -> Tensor:
        """Return n points from each generator, (S, n, F)."""
        v = draws.normal(n, self.config.noise_size)
        return self.config.output_activation(self.output(self.layers(v)))


@final
class CatGANClusterer(NetworkClusterer):
    """One discriminator; the generator is dropped, since its points belong to no given cluster."""

    network_type = CatGANNetwork


@final
class CatGAN(StackedMethod):
    """Train an informative classifier against a generator of points it is certain about.

    The layers are fully connected here, with noise on the input of each layer of D, whose loss
    keeps the clusters of points and of changed copies equal unless `augmentation_weight` is 0.
    """

    config_type = CatGANConfig
    clusterer_type = CatGANClusterer
    config: CatGANConfig
    network: CatGANNetwork
    source = (
        "Unsupervised and Semi-supervised Learning with Categorical Generative Adversarial "
        "Networks (Springenberg, 2016), section 3"
    )

    def build(self) -> None:
        """Create both players and an optimiser for each."""
        self.network, self.generator = self.stacked(CatGANNetwork), self.stacked(Generator)
        for player in (self.network, self.generator):
            initialise(player, self.draws)
        config, rate = self.config, self.config.learning_rate
        self.penalties = AssignmentPenalties(config, self.shape)
        self.optimiser = config.optimiser(self.network, learning_rate=rate)
        self.generator_optimiser = config.optimiser(self.generator, learning_rate=rate)

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Update both players on every batch, the classifier first."""
        config = self.config
        points = validate_and_flatten(x, config)
        radius = config.radius(points)
        step = Step(lambda index, radius: self._step(points[index], radius), self.draws)
        for _ in self.clock.count("game", config.epochs):
            batches = batch_indices(len(points), config.batch_size, self.draws)
            metrics = train_epoch(step, batches, radius)
            yield Report(stage="game", epoch=self.clock.epoch, metrics=metrics)

    def _step(self, batch: Tensor, radius: Tensor) -> dict[str, Tensor]:
        return self.discriminator_step(batch, radius) | self.generator_step(batch)

    def discriminator_step(self, batch: Tensor, radius: Tensor) -> dict[str, Tensor]:
        """Update D against points from a fixed generator and return its losses, (R,).

        The loss includes the penalties on p(y | x), in whose small changes `radius` is the length.
        """
        network, draws = self.network, self.draws
        both = self.penalties.with_copies(batch, draws)
        n = batch.shape[1]
        with mixed_precision(batch.device, batch.shape[2]):
            with torch.no_grad():
                generated = self.generator.generate(n, draws)
            seen, fake = network.classify_both(both, generated, draws)
            real = _categorical(seen.logits[:, :n])
            loss = discriminator_loss(real, fake)
            rest = torch.cat([both[:, n:], generated], dim=1)  # whose moments points share

            def assign(points: Tensor) -> Tensor:
                return network.classify_both(points, rest, draws)[0].logits

            penalty, penalties = self.penalties(assign, batch, seen.logits, radius, draws)
        gradient_step(self.optimiser, loss + penalty)
        metrics = {
            "loss": loss,
            "marginal_entropy": marginal_entropy(real),
            "conditional_entropy": conditional_entropy(real),
            "forged_entropy": conditional_entropy(fake),
            **penalties,
        }
        return {name: value.detach() for name, value in metrics.items()}

    def generator_step(self, batch: Tensor) -> dict[str, Tensor]:
        """Update G against a fixed discriminator and return its loss, (R,)."""
        with mixed_precision(batch.device, batch.shape[2]), frozen(self.network):
            generated = self.generator.generate(batch.shape[1], self.draws)
            _, fake = self.network.classify_both(batch, generated, self.draws)
        return {"generator_loss": gradient_step(self.generator_optimiser, generator_loss(fake))}
