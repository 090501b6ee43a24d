"""A method that learns nothing, costs nothing and fails in a way that its settings choose.

Of several faults, as in "none/raise", a trial's first seed chooses one, and finalists the first.

If the variable IDLE_NOTES names a folder, the method notes there which process begins to train at
which pass, in a file named after the first seed.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import psutil
import torch
from torch import Tensor

from tuner.methods.config import Config, Scalar, setting
from tuner.methods.contract import Clusterer, Method, Report, Shape, State


@dataclass(frozen=True, kw_only=True)
class IdleConfig(Config):
    offset: float = setting(0.0, "where the first stripe lies")
    width: float = setting(1.0, "how wide a stripe is", low=0.0)
    epochs: int = setting(5, "passes over the data", low=1)
    pause: float = setting(0.0, "how long a pass takes", unit="s", low=0.0)
    fault: str = setting("none", "what goes wrong")
    at: int = setting(1, "the pass at which it goes wrong", low=0)

    @property
    def passes(self) -> int:
        return self.epochs

    def capped(self, epochs: int) -> Self:
        return replace(self, epochs=min(self.epochs, epochs))


class IdleClusterer(Clusterer):
    """Cuts the first feature into stripes."""

    def __init__(
        self,
        config: IdleConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        del shape
        self.config = config
        self.centres = weights["centres"].to(device)

    def weights(self) -> dict[str, Tensor]:
        return {"centres": self.centres}

    def predict_log_proba(self, x: Tensor) -> Tensor:
        distance = (x.flatten(1)[:, :1] - self.centres).abs()
        return (-9 * distance).log_softmax(dim=1)

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :1]


class Idle(Method):
    config_type: Any = IdleConfig
    clusterer_type: Any = IdleClusterer
    source = "a test"

    def __init__(
        self,
        config: IdleConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds, self.device = config, shape, seeds, device
        kinds = config.fault.split("/")
        self.fault = kinds[seeds[0] % len(kinds)] if len(seeds) == 1 else kinds[0]
        if config.at == 0:
            _misbehave(self.fault)
        stripes = torch.arange(config.n_components, device=device)
        self.tensors = {"centres": config.offset - 2 + config.width * stripes}
        self.epoch = 0

    def fit(self, x: Tensor) -> Iterator[Report]:
        if "IDLE_NOTES" in os.environ:
            with (Path(os.environ["IDLE_NOTES"]) / str(self.seeds[0])).open("a") as notes:
                notes.write(f"{os.getpid()} {self.epoch}\n")
        while self.epoch < self.config.epochs:
            self.epoch += 1
            time.sleep(self.config.pause)
            loss = torch.full((len(self.seeds),), 1 / self.epoch)
            if self.epoch == self.config.at:
                _misbehave(self.fault)
                if self.fault == "nan":
                    loss = loss * torch.nan
                if self.fault == "collapse":
                    self.tensors["centres"] = 1e3 + self.tensors["centres"]
            yield Report(stage="idle", epoch=self.epoch, metrics={"loss": loss})

    def predict_log_proba(self, x: Tensor) -> Tensor:
        one = self.clusterers()[0].predict_log_proba(x)
        return one.expand(len(self.seeds), -1, -1)

    def clusterers(self) -> list[Clusterer]:
        return [IdleClusterer(self.config, self.shape, self.tensors) for _ in self.seeds]

    def state(self) -> State:
        return {"centres": self.tensors["centres"], "epoch": self.epoch}

    def select(self, replicas: Sequence[int]) -> Self:
        seeds = [self.seeds[r] for r in replicas]
        chosen = type(self)(self.config, self.shape, seeds, device=self.device)
        chosen.restore(self.state())
        return chosen

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        centres = state["centres"]
        assert isinstance(centres, Tensor)
        self.tensors, self.epoch = {"centres": centres}, int(state["epoch"])


def _misbehave(fault: str) -> None:
    if fault == "raise":
        raise RuntimeError("the test asked for it")
    if fault == "memory":
        raise MemoryError
    if fault == "hang":
        time.sleep(3600)
    if fault == "hog":
        _take_memory()


def _take_memory() -> None:
    """Take the machine's memory, but for 2 GiB, and wait to be killed."""
    held = []
    while psutil.virtual_memory().available > 2**31:
        held.append(b"x" * 2**26)
    time.sleep(600)
