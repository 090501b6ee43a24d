"""What adversarial games share: settings, noise, and players that stand still for others."""

import itertools
from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...methods.config import setting
from .loop import adam
from .networks import Draws, Perceptron
from .outputs import OutputConfig


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(OutputConfig, ABC):
    """What every game has to be told that forges or decodes points."""

    momentum: float = setting(0.5, "Adam's beta_1 in the game", low=0.0, high=0.999)
    batch_size: int = setting(100, "points of a step", low=1)
    epochs: int = setting(100, "passes over the data", low=1)

    @property
    def passes(self) -> int:
        """Passes over the data that a whole training makes."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return the configuration with at most `epochs` passes."""
        return replace(self, epochs=min(self.epochs, epochs))

    def optimiser(self, *players: nn.Module, learning_rate: float) -> torch.optim.Adam:
        """Return the Adam of one side of the game."""
        parameters = [parameter for player in players for parameter in player.parameters()]
        return adam(parameters, learning_rate, betas=(self.momentum, 0.999))


@contextmanager
def frozen(player: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network, but not to its parameters, in losses made inside."""
    player.requires_grad_(False)
    try:
        yield
    finally:
        player.requires_grad_(True)


def leaky(x: Tensor) -> Tensor:
    """Return the leaky rectifier, slope 0.1 below 0."""
    return F.leaky_relu(x, 0.1)


def noisy(x: Tensor, scale: float, draws: Draws | None) -> Tensor:
    """Return x (S, B, F) with Gaussian noise; as it is where no draws are."""
    if draws is None or scale == 0:
        return x
    networks = x.shape[0] // len(draws)
    noise = draws.normal(networks, *x.shape[1:]).flatten(0, 1)
    return x + scale * noise.to(x.dtype)


@final
class NoisyPerceptron(nn.Module):
    """S multilayer perceptrons of leaky rectifiers, with noise on the input of each layer.

    `noise` is its standard deviation on the points, `hidden_noise` on what a layer passes on.
    """

    def __init__(
        self,
        stack: int,
        sizes: Sequence[int],
        *,
        noise: float,
        hidden_noise: float,
        norm: bool,
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        self.scales = [noise] + [hidden_noise] * (len(pairs) - 1)
        self.layers = nn.ModuleList(Perceptron(stack, pair, leaky, norm=norm) for pair in pairs)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the last hidden layer, (S, B, sizes[-1]); without noise where no draws are."""
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = layer(noisy(x, scale, draws))
        return x
