"""A network trained alone before it clusters, so that other trials may take it over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, final

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import Pretraining, Report, State
from .loop import Clock, adam, descend_pass, pack, unpack
from .networks import Draws, initialise

STAGE = "pretraining"

Loss = Callable[[Tensor, Draws], Mapping[str, Tensor]]


class PretrainingConfig(Protocol):
    """A configuration that says how a network is pretrained."""

    @property
    def pretraining_epochs(self) -> int:
        """Passes of the network alone."""

    @property
    def pretraining_learning_rate(self) -> float:
        """Adam's learning rate for them."""

    @property
    def pretraining_batch_size(self) -> int:
        """Points of a step."""


@final
class NetworkPretraining(Pretraining):
    """Passes of Adam down the `loss` of a network that it also initialises.

    It has random numbers and an optimiser of its own, so that what it leaves depends on its seeds
    and settings alone. `loss` takes a batch (R, B, F) and returns metrics (R,), "loss" among them.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        config: PretrainingConfig,
        *,
        clock: Clock,
        seeds: Sequence[int],
        device: torch.device | str,
    ) -> None:
        self.network, self.loss, self.config, self.clock = network, loss, config, clock
        self.draws = Draws(seeds, device, stream=STAGE)
        initialise(network, self.draws)
        self.optimiser = adam(network.parameters(), config.pretraining_learning_rate)

    def descend(self, x: Tensor) -> Iterator[Report]:
        """Make the passes over x (N, F) that are still to do and report each."""
        for _ in self.clock.count(STAGE, self.config.pretraining_epochs):
            metrics = descend_pass(
                x,
                lambda batch: self.loss(batch, self.draws),
                self.optimiser,
                batch_size=self.config.pretraining_batch_size,
                draws=self.draws,
            )
            yield Report(stage=STAGE, epoch=self.clock.epoch, metrics=metrics, clusters=False)

    def result(self) -> State | None:
        """Return the network where its passes have just been made, None elsewhere."""
        done = self.clock.passes == {STAGE: self.config.pretraining_epochs}
        return pack(network=self.network) if done else None

    def take(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a network that was trained so elsewhere."""
        unpack(result, network=self.network)
        self.clock.passes[STAGE] = self.config.pretraining_epochs

    def state(self) -> State:
        """Return optimiser and random states, nothing once the passes are made."""
        if self.clock.passes.get(STAGE, 0) == self.config.pretraining_epochs:
            return {}
        return pack(optimiser=self.optimiser, draws=self.draws)

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state."""
        if state:
            unpack(state, optimiser=self.optimiser, draws=self.draws)


@final
class NoPretraining(Pretraining):
    """The pretraining of a configuration that has none, of a method that others pretrain."""

    def descend(self, x: Tensor) -> Iterator[Report]:
        """Make no passes."""
        del x
        return iter(())

    def result(self) -> State | None:
        """Return None: there is nothing to hand over, ever."""
        return None

    def take(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Refuse a network: there is no use for one."""
        del result
        raise AssertionError("A training without pretraining was given a pretrained network.")
