"""A small honest method: a spherical Gaussian mixture, trained by gradients."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from tuner.methods.config import Config, MetricInfo, Scalar, setting
from tuner.methods.contract import (
    Bounds,
    Clusterer,
    Decodes,
    Generates,
    Method,
    Pretraining,
    Pretrains,
    Random,
    Report,
    Shape,
    State,
    Trains,
    Traverses,
)
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import replica
from tuner.models._kit.loop import Clock, adam, batch_indices, gradient_step
from tuner.models._kit.parts import pack, pack_selected, unpack
from tuner.models._kit.recording import Step


@dataclass(frozen=True, kw_only=True)
class ToyConfig(Config):
    epochs: int = setting(40, "passes over the data", low=0)
    learning_rate: float = setting(0.05, "step size of Adam", low=0.0)
    batch_size: int = setting(100, "points per step", low=1)

    @property
    def passes(self) -> int:
        return self.epochs

    def capped(self, epochs: int) -> Self:
        return replace(self, epochs=min(self.epochs, epochs))

    @property
    def pretraining(self) -> Mapping[str, Scalar]:
        return {"passes": 1} if self.epochs else {}

    def metric_info(self) -> Mapping[str, MetricInfo]:
        return {"loss": MetricInfo(unit="nats", levels={"zero": 0.0})}


def log_joint(tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return log pi_k + log N(x; m_k, s^2 I), (R, B, K), of x (R, B, F)."""
    scale = tensors["log_scale"].view(-1, 1, 1)
    square = (x.unsqueeze(2) - tensors["centres"].unsqueeze(1)).square().sum(dim=3)
    normaliser = x.shape[2] * (scale + 0.5 * math.log(2 * math.pi))
    log_pi = tensors["logits"].log_softmax(dim=1).unsqueeze(1)
    return log_pi - 0.5 * square / (2 * scale).exp() - normaliser


class ToyClusterer(Clusterer, Decodes, Generates, Traverses, Bounds):
    def __init__(
        self,
        config: ToyConfig,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = shape
        self.tensors = {name: tensor.to(device) for name, tensor in weights.items()}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.tensors)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        return log_joint(self.tensors, x.flatten(1)[None])[0].log_softmax(dim=1)

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def reconstruct(self, x: Tensor) -> Tensor:
        flat = torch.einsum("nk,kf->nf", self.predict_proba(x), self.tensors["centres"][0])
        return flat.unflatten(1, self.shape)

    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        centre = self.tensors["centres"][0, cluster]
        noise = Draws([seed], centre.device).normal(n, len(centre))[0]
        flat = centre + self.tensors["log_scale"].exp() * noise
        return flat.unflatten(1, self.shape)

    def traverse(self, cluster: int, steps: int) -> Tensor:
        centre = self.tensors["centres"][0, cluster]
        along = torch.linspace(-2, 2, steps, device=centre.device)[:, None]
        flat = centre + self.tensors["log_scale"].exp() * along
        return flat.unflatten(1, self.shape)

    def elbo(self, x: Tensor) -> Tensor:
        return log_joint(self.tensors, x.flatten(1)[None])[0].logsumexp(dim=1)


class Middle(Pretraining):
    """One pass that finds about where the points are; the centres move there after it."""

    def __init__(self, toy: "Toy", passes: int, features: int) -> None:
        self.toy, self.passes = toy, passes
        self.at = torch.zeros(len(toy.draws), features, device=toy.device)

    def seek(self, x: Tensor) -> Iterator[Report]:
        for _ in self.toy.clock.count("pretraining", self.passes):
            noise = self.toy.apart.normal(x.shape[1])
            self.at.copy_(x.mean(dim=0) + 0.01 * noise)
            metrics = {"loss": self.at.norm(dim=1)}
            epoch = self.toy.clock.epoch
            yield Report(stage="pretraining", epoch=epoch, metrics=metrics, clusters=False)

    def result(self) -> State | None:
        done = self.toy.clock.passes == {"pretraining": self.passes}
        return {"at": self.at.clone()} if done else None

    def load(self, result: Mapping[str, Any]) -> None:
        self.at.copy_(result["at"])
        self.toy.clock.passes["pretraining"] = self.passes


class Toy(Method, Trains, Random, Pretrains):
    config_type: Any = ToyConfig
    clusterer_type: Any = ToyClusterer
    source = "a test"

    def __init__(
        self,
        config: ToyConfig,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds, self.device = config, shape, tuple(seeds), device
        self.draws, self.clock = self.draws_of(seeds), Clock()
        self.apart = self.draws_of(seeds, "pretraining")
        self.pretraining: Middle = Middle(self, min(1, config.epochs), math.prod(shape))
        centres = self.draws.normal(config.n_components, math.prod(shape))
        R, K = centres.shape[:2]
        self.tensors = {
            "centres": centres,
            "log_scale": torch.zeros(R, device=device),
            "logits": torch.zeros(R, K, device=device),
        }
        for tensor in self.tensors.values():
            tensor.requires_grad_()
        self.optimiser = adam(self.trained_tensors(), config.learning_rate)

    def draws_of(self, seeds: Sequence[int], stream: str = "") -> Draws:
        return Draws(seeds, self.device, stream=stream)

    def trained_tensors(self) -> list[Any]:
        return list(self.tensors.values())

    def batches(self, n: int) -> Sequence[Tensor]:
        return batch_indices(n, self.config.batch_size, self.draws)

    def fit(self, x: Tensor) -> Iterator[Report]:
        points = x.flatten(1)
        yield from self.pretraining.seek(points)
        step = Step(lambda index: self.update(points[index]), self.draws)
        for done in self.clock.count("toy", self.config.epochs - self.pretraining.passes):
            if done == 1:
                self.tensors["centres"].data += self.pretraining.at.unsqueeze(1)
            for index in self.batches(len(points)):
                step(index)
            yield Report(stage="toy", epoch=self.clock.epoch, metrics=step.mean())

    def update(self, batch: Tensor) -> dict[str, Tensor]:
        elbo = log_joint(self.tensors, batch).logsumexp(dim=2).mean(dim=1)
        return {"loss": gradient_step(self.optimiser, -elbo)}

    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        points = x.flatten(1).expand(len(self.draws), -1, -1)
        return log_joint(self.tensors, points).log_softmax(dim=2)

    def clusterers(self) -> list[Clusterer]:
        R = len(self.draws)
        return [
            self.clusterer_type(
                self.config, self.shape, replica(self.tensors, r, R), device=self.device
            )
            for r in range(R)
        ]

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.tensors.items()

    def state(self) -> State:
        return pack(**self.parts())

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        unpack(state, **self.parts())

    def select(self, replicas: Sequence[int]) -> Self:
        seeds = [self.seeds[r] for r in replicas]
        chosen = type(self)(self.config, self.shape, seeds, device=self.device)
        chosen.restore(pack_selected(replicas, len(self.seeds), **self.parts()))
        return chosen

    def parts(self) -> dict[str, object]:
        loop = {"draws": self.draws, "clock": self.clock, "adam": self.optimiser}
        return {**self.tensors, **loop, "apart": self.apart, "middle": self.pretraining.at}


class Retells(Toy):
    """Reports something else than the honest method."""

    def told(self, report: Report) -> Report:
        raise NotImplementedError

    def fit(self, x: Tensor) -> Iterator[Report]:
        for report in super().fit(x):
            yield self.told(report)


class Spoils(Toy):
    """Answers nothing finite once it has seen data that it cannot take."""

    def spoilt(self, x: Tensor) -> bool:
        raise NotImplementedError

    def fit(self, x: Tensor) -> Iterator[Report]:
        yield from super().fit(x)
        if self.spoilt(x):
            self.tensors["centres"].data.fill_(torch.nan)


class Reseeds(Toy):
    """Takes other seeds than it is given."""

    def taken(self, seed: int) -> int:
        raise NotImplementedError

    def draws_of(self, seeds: Sequence[int], stream: str = "") -> Draws:
        return super().draws_of([self.taken(seed) for seed in seeds], stream)
