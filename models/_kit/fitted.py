"""The base class of methods that are fitted at once, without gradients."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from ...methods.config import Config
from ...methods.contract import Clusterer, Random, Report, Shape
from .loop import Clock
from .mixtures import some_of_many
from .parts import MethodOfParts
from .stack import stacked_clusterers


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config, ABC):
    """Settings of a method that is fitted at once, not epoch by epoch."""

    @property
    @final
    def passes(self) -> int:
        """One: a fit counts as a single epoch."""
        return 1

    @final
    def capped(self, epochs: int) -> Self:
        """Return this configuration: a single epoch cannot be shortened."""
        del epochs
        return self


class FittedMethod(MethodOfParts, Random, ABC):
    """A method without gradients: every replica is fitted once, one after another."""

    stage: ClassVar[str]
    metric: ClassVar[str]
    config: Config
    shape: Shape

    @final
    def __init__(
        self,
        config: Any,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, tuple(shape), tuple(seeds)
        self.device = torch.device(device)
        self.build(len(seeds), torch.Size(shape).numel())
        self.clock = Clock()

    @abstractmethod
    def build(self, replicas: int, features: int) -> None:
        """Create the fitted tensors or modules, with a leading axis of replicas."""

    @abstractmethod
    def fit_replica(self, r: int, points: Tensor) -> Tensor:
        """Fit replica r to points (N, F) and return its `metric`, a scalar."""

    @abstractmethod
    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors that make up the clusterers, each with a leading axis of replicas."""

    @final
    def fit(self, x: Tensor) -> Iterator[Report]:
        """Fit every replica to at most 200,000 of the points x, and report once."""
        points = x.flatten(1)
        for _ in self.clock.count(self.stage, 1):
            values = [
                self.fit_replica(r, some_of_many(points, seed))
                for r, seed in enumerate(self.seeds)
            ]
            metrics = {self.metric: torch.stack(values)}
            yield Report(stage=self.stage, epoch=self.clock.epoch, metrics=metrics)

    @final
    def clusterers(self) -> list[Clusterer]:
        """Return one clusterer per seed."""
        return stacked_clusterers(
            self.clusterer_of(self.config),
            self.config,
            self.shape,
            self.tensors(),
            replicas=len(self.seeds),
            device=self.device,
        )
