"""Shared parts of adversarial methods: settings, noise, and freezing one of the players."""

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
from .assignments import AssignmentConfig
from .draws import Draws
from .layers import MLP
from .loop import adam
from .outputs import OutputConfig


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(AssignmentConfig, OutputConfig, ABC):
    """Settings of every adversarial method that generates or decodes points."""

    momentum: float = setting(0.5, "Adam's beta_1 for all adversarial steps", low=0.0, high=0.999)
    batch_size: int = setting(100, "points per step", low=1)
    epochs: int = setting(100, "passes over the data", low=1)

    @property
    def passes(self) -> int:
        """Epochs of the whole training."""
        return self.epochs

    def capped(self, epochs: int) -> Self:
        """Return this configuration with at most `epochs` epochs."""
        return replace(self, epochs=min(self.epochs, epochs))

    def optimiser(self, *players: nn.Module, learning_rate: float) -> torch.optim.Adam:
        """Return an Adam for the parameters of one side of the game."""
        parameters = [parameter for player in players for parameter in player.parameters()]
        return adam(parameters, learning_rate, betas=(self.momentum, 0.999))


@contextmanager
def frozen(player: nn.Module) -> Iterator[None]:
    """Let gradients of losses computed within pass through a network but not to its parameters."""
    player.requires_grad_(False)
    try:
        yield
    finally:
        player.requires_grad_(True)


def leaky_relu(x: Tensor) -> Tensor:
    """Return the leaky rectifier of x, with slope 0.1 below 0."""
    return F.leaky_relu(x, 0.1)


def add_noise(x: Tensor, scale: float, draws: Draws | None) -> Tensor:
    """Return x (S, B, F) plus Gaussian noise of standard deviation `scale`, or x without draws."""
    if draws is None or scale == 0:
        return x
    networks = x.shape[0] // len(draws)
    noise = draws.normal(networks, *x.shape[1:]).flatten(0, 1)
    return x + scale * noise.to(x.dtype)


@final
class NoisyMLP(nn.Module):
    """S multilayer perceptrons of leaky rectifiers, with noise added to each layer's input.

    The noise is Gaussian. Its standard deviation is `noise` on points and `hidden_noise` on hidden
    layers.
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
        self.layers = nn.ModuleList(MLP(stack, pair, leaky_relu, norm=norm) for pair in pairs)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the last hidden layer, (S, B, sizes[-1]), without noise if draws is None."""
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = layer(add_noise(x, scale, draws))
        return x
