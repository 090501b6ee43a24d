"""The method under test, its test data, and comparisons of tensors and states."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..methods import catalog
from ..methods.config import Config
from ..methods.contract import Clusterer, Method, Report, Shape, State
from ..study.space import method_space
from ..training import checkpoint

SEEDS = (0, 1, 2)
PASSES = 4  # of a training whose result does not need to be good
TOLERANCE = 1e-4


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A method under test, in a small configuration for points with four features."""

    method: type[Method]
    config: Config
    device: str = "cpu"

    @classmethod
    def of(cls, name: str, *, device: str = "cpu") -> Self:
        """Return the named method with its preset `tiny`, for data outside [0, 1].

        All settings in `clusterer_with` are off.
        """
        method, presets = catalog.method(name), method_space(name).presets
        assert "tiny" in presets, f"The search space of {name} has no preset 'tiny': add one."
        forced = method.config_type.forced_by(unit_interval=False)
        off = dict.fromkeys(method.clusterer_with, False)
        settings = {**forced, **presets["tiny"], **off}
        return cls(method, method.config_type.from_mapping(settings), device)

    @classmethod
    def variants_of(cls, name: str, *, device: str = "cpu") -> dict[str, Self]:
        """Return `of` and one more subject for each setting in `clusterer_with`, by name."""
        first = cls.of(name, device=device)
        tiny, config_type = first.config.to_mapping(), first.method.config_type
        return {name: first} | {
            f"{name}-{setting}": replace(
                first, config=config_type.from_mapping({**tiny, setting: True})
            )
            for setting in first.method.clusterer_with
        }

    @cached_property
    def short(self) -> Config:
        """The configuration, limited to a few passes."""
        return self.config.capped(PASSES)

    @cached_property
    def x(self) -> Tensor:
        """Standardised points of three well separated blobs, (300, 4)."""
        centres = np.array([[9, 0, 0, 3], [0, 9, 0, -3], [0, 0, 9, 3]])
        points = centres[self.labels] + np.random.default_rng(7).normal(size=(300, 4))
        return self.tensor((points - points.mean(axis=0)) / points.std(axis=0))

    @property
    def labels(self) -> NDArray[np.int64]:
        """The blob of each point, (300,)."""
        return np.arange(300) % 3

    @cached_property
    def noise(self) -> Tensor:
        """Points without clusters, (97, 4). The number is prime, so no batch size divides it."""
        return self.tensor(np.random.default_rng(8).normal(size=(97, 4)))

    @cached_property
    def trained(self) -> tuple[Method, list[Report]]:
        """The method after a short training of three replicas on the blobs, and its reports."""
        method = self.fresh()
        return method, list(method.fit(self.x))

    @cached_property
    def log_proba(self) -> Tensor:
        """The predictions for the blobs after the short training, (R, N, K)."""
        return self.trained[0].predict_log_proba(self.x)

    @cached_property
    def clusterers(self) -> list[Clusterer]:
        """The replicas of the short training."""
        return self.trained[0].clusterers()

    def tensor(self, values: Any) -> Tensor:
        """Return values as float32 on the device."""
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def fresh(
        self,
        seeds: Sequence[int] = SEEDS,
        *,
        config: Config | None = None,
        shape: Shape = (4,),
    ) -> Method:
        """Return an untrained method, by default with the short configuration."""
        config = self.short if config is None else config
        return self.method(config, shape, seeds, device=self.device)

    def fitted(
        self, x: Tensor, seeds: Sequence[int] = SEEDS, *, config: Config | None = None
    ) -> Method:
        """Return a method trained on x, shape (N, *shape)."""
        method = self.fresh(seeds, config=config, shape=tuple(x.shape[1:]))
        for _ in method.fit(x):
            pass
        return method


def check_tensor(what: str, value: Tensor, shape: Sequence[int]) -> None:
    """Raise unless a tensor is float32, finite, of this shape and without a gradient."""
    found = tuple(value.shape)
    assert found == tuple(shape), f"{what} has shape {found} instead of {tuple(shape)}."
    assert value.dtype == torch.float32, f"{what} is {value.dtype} instead of float32."
    assert bool(value.isfinite().all()), f"{what} has values that are not finite."
    assert not value.requires_grad, f"{what} requires a gradient: use torch.no_grad()."


def check_pure(
    what: str, function: Callable[[Tensor], Tensor], x: Tensor, *, axis: int = 0
) -> None:
    """Raise unless a function gives equal results when called again and for x in batches.

    `axis` is the axis of the points in its result.
    """
    whole = function(x)
    assert torch.equal(whole, function(x)), f"{what} changes when it is called again."
    batches = torch.cat([function(x[:1]), function(x[1:8]), function(x[8:])], dim=axis)
    gap = distance(whole, batches)
    assert gap < TOLERANCE, f"{what} depends on the batch of a point, by {gap:.1e}."


def distance(a: Tensor, b: Tensor) -> float:
    """Return max |a - b| / max(1, max |a|).

    It is infinite if the shapes differ or if only one of two values is finite.
    """
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return float("inf")
    a, b = a.detach().nan_to_num().double(), b.detach().nan_to_num().double()
    if a.numel() == 0:
        return 0.0
    return float((a - b).abs().max() / a.abs().max().clamp(min=1))


def same_value(a: object, b: object) -> bool:
    """Return whether two values of a state are equal. NaN equals NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
    return a == b


def saved_and_loaded(state: State) -> State:
    """Return a state after writing and reading it as a checkpoint."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    scalars: dict[str, Any] = {n: v for n, v in state.items() if n not in tensors}
    for name, value in scalars.items():
        is_scalar = isinstance(value, bool | int | float | str)
        assert is_scalar, f"{name} in a state is a {type(value).__name__}, not a tensor or scalar."
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write(Path(folder) / "state", tensors, scalars)
        read, document = checkpoint.read(Path(folder) / "state")
    return {**read, **document}
