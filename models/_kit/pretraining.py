"""Pretraining of a network before it clusters, whose result trials can share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, final

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import Pretraining, Report, State
from .draws import Draws
from .layers import initialise
from .loop import Clock, adam, batch_indices, descent, train_epoch
from .parts import pack, pack_selected, unpack

STAGE = "pretraining"

Loss = Callable[[Tensor, Draws], Mapping[str, Tensor]]


class PretrainingConfig(Protocol):
    """The settings of pretraining."""

    @property
    def pretraining_epochs(self) -> int:
        """Epochs of pretraining."""

    @property
    def pretraining_learning_rate(self) -> float:
        """Adam's learning rate in pretraining."""

    @property
    def pretraining_batch_size(self) -> int:
        """Points per step of pretraining."""


@final
class NetworkPretraining(Pretraining):
    """Initialises a network and trains it by Adam on a loss.

    Random numbers and optimiser are separate from the method's, so the result depends only on the
    seeds and on these settings. `loss` maps a batch (R, B, F) to metrics (R,), including "loss".
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

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train for the remaining epochs on x (N, F), with a report after each."""
        step = descent(x, lambda batch: self.loss(batch, self.draws), self.optimiser, self.draws)
        for _ in self.clock.count(STAGE, self.config.pretraining_epochs):
            batches = batch_indices(len(x), self.config.pretraining_batch_size, self.draws)
            metrics = train_epoch(step, batches)
            yield Report(stage=STAGE, epoch=self.clock.epoch, metrics=metrics, clusters=False)

    def result(self) -> State | None:
        """Return the network right after the last epoch of pretraining, None at any other time."""
        done = self.clock.passes == {STAGE: self.config.pretraining_epochs}
        return pack(network=self.network) if done else None

    def load(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Load a network that was pretrained with the same settings elsewhere."""
        unpack(result, network=self.network)
        self.clock.passes[STAGE] = self.config.pretraining_epochs

    def state(self) -> State:
        """Return the state of optimiser and draws, empty once pretraining is complete."""
        return {} if self._is_done else pack(optimiser=self.optimiser, draws=self.draws)

    def selected(self, replicas: Sequence[int]) -> State:
        """Return the state of these replicas, empty once pretraining is complete."""
        parts = {} if self._is_done else {"optimiser": self.optimiser, "draws": self.draws}
        return pack_selected(replicas, len(self.draws), **parts)

    @property
    def _is_done(self) -> bool:
        return self.clock.passes.get(STAGE, 0) == self.config.pretraining_epochs

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore a state."""
        if state:
            unpack(state, optimiser=self.optimiser, draws=self.draws)


@final
class NoPretraining(Pretraining):
    """The pretraining of configurations that have none."""

    def fit(self, x: Tensor) -> Iterator[Report]:
        """Do nothing."""
        del x
        return iter(())

    def result(self) -> State | None:
        """Return None."""
        return None

    def load(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Raise AssertionError, since no network is expected."""
        del result
        raise AssertionError(
            "a pretrained network was given to a configuration without pretraining"
        )
