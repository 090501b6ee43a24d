"""The pieces of a training loop: passes, batches, optimiser steps, precision, resumable state."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import State
from .networks import Draws


class Clock:
    """How far training is: passes over the data in each stage and in all."""

    def __init__(self) -> None:
        self.passes: dict[str, int] = {}

    @property
    def epoch(self) -> int:
        """Passes over the data so far, over all stages."""
        return sum(self.passes.values())

    def count(self, stage: str, passes: int) -> Iterator[int]:
        """Yield the passes of a stage that are still to do, counted from 1.

        A pass counts from its beginning, so a state taken where `fit` yields is already past it.
        """
        while self.passes.get(stage, 0) < passes:
            self.passes[stage] = self.passes.get(stage, 0) + 1
            yield self.passes[stage]

    def state(self) -> dict[str, int]:
        """Return the passes of every stage."""
        return dict(self.passes)

    def restore(self, state: Mapping[str, int]) -> None:
        """Take up the passes of every stage."""
        self.passes = {stage: int(passes) for stage, passes in state.items()}


def minibatches(x: Tensor, size: int, draws: Draws) -> Iterator[Tensor]:
    """Yield every point once, each replica in its own order, as batches (R, B, F).

    No batch is a rest: the points are dealt into ⌈N / size⌉ batches of nearly equal size.
    """
    for index in batch_indices(len(x), size, draws):
        yield x[index]


def batch_indices(n: int, size: int, draws: Draws) -> Iterable[Tensor]:
    """Return the indices (R, B) of one pass over n points in batches of at most `size`."""
    return draws.permutation(n).tensor_split(-(-n // size), dim=1)


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.Adam:
    """Return the fused Adam: one kernel for all parameters, where the default has many."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=eps, fused=True)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one step down the loss (R,), summed so that every replica gets its own gradient.

    Returns the loss, detached, without waiting for the device.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.sum().backward()
    optimiser.step()
    return loss.detach()


NARROW = 256
"""Width of the data below which matrix products are not where the time goes."""


def fast_products(device: torch.device, width: int) -> torch.autocast:
    """Return a context in which matrix products are bfloat16, if the device multiplies those.

    `width` is that of the data. Weights, moments and sums stay float32, and heads turn
    to it before any density. Answers of a trained model are given outside, in float32. The
    context keeps the weights that it has turned to bfloat16: enter it anew after every step.
    """
    halved = width >= NARROW and _multiplies_bfloat16(device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=halved)


@cache
def _multiplies_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


class Mean:
    """The running mean over the batches of a pass of named metrics, each of shape (R,)."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.batches = 0

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add the metrics of one batch."""
        for name, value in metrics.items():
            value = value.detach()
            self.totals[name] = self.totals[name] + value if name in self.totals else value
        self.batches += 1

    def result(self) -> dict[str, Tensor]:
        """Return the means, each of shape (R,)."""
        return {name: total / self.batches for name, total in self.totals.items()}


def descend_pass(
    points: Tensor,
    loss: Callable[[Tensor], Mapping[str, Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    batch_size: int,
    draws: Draws,
) -> dict[str, Tensor]:
    """Take one pass of steps down a loss over points (N, F); return its mean metrics, (R,).

    `loss` takes a batch (R, B, F) to metrics (R,), "loss" among them.
    """
    mean = Mean()
    for batch in minibatches(points, batch_size, draws):
        with fast_products(points.device, points.shape[1]):
            metrics = loss(batch)
        descend(optimiser, metrics["loss"])
        mean.add(metrics)
    return mean.result()


def in_chunks(answer: Callable[[Tensor], Tensor], x: Tensor, *, size: int = 4096) -> Tensor:
    """Return `answer` of x, chunk by chunk along the points, joined along its points axis (-2)."""
    if len(x) <= size:
        return answer(x)
    return torch.cat([answer(chunk) for chunk in x.split(size)], dim=-2)


class Part(Protocol):
    """Anything with a state: a draw, a clock, or what wraps a network or an optimiser."""

    def state(self) -> Mapping[str, Tensor | Scalar]:
        """Return a flat mapping."""

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take it up again."""


def pack(**parts: object) -> State:
    """Return the state of networks, optimisers, draws, clocks and tensors as one flat mapping."""
    state: State = {}
    for name, part in parts.items():
        for key, value in _state_of(part).items():
            state[f"{name}/{key}"] = value.detach().clone() if isinstance(value, Tensor) else value
    return state


def unpack(state: Mapping[str, Tensor | Scalar], **parts: object) -> None:
    """Give every part its share of a state made by `pack` with the same names."""
    for name, part in parts.items():
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
        _restore(part, own)


def _state_of(part: object) -> Mapping[str, Tensor | Scalar]:
    if isinstance(part, nn.Module):
        return part.state_dict()
    if isinstance(part, torch.optim.Optimizer):
        saved = part.state_dict()
        moments = {
            f"{index}/{key}": value
            for index, values in saved["state"].items()
            for key, value in values.items()
        }
        rates = {f"lr/{i}": group["lr"] for i, group in enumerate(saved["param_groups"])}
        return moments | rates
    if isinstance(part, Tensor):
        return {"": part}
    return part.state()  # type: ignore[attr-defined]


def _restore(part: object, state: Mapping[str, Tensor | Scalar]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(state)
    elif isinstance(part, torch.optim.Optimizer):
        _restore_optimiser(part, state)
    elif isinstance(part, Tensor):
        saved = state[""]
        assert isinstance(saved, Tensor)
        part.data.copy_(saved)
    else:
        part.restore(state)  # type: ignore[attr-defined]


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor | Scalar]
) -> None:
    saved = optimiser.state_dict()
    saved["state"] = {}
    for name, value in state.items():
        index, key = name.split("/")
        if index == "lr":
            saved["param_groups"][int(key)]["lr"] = value
        else:
            saved["state"].setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(saved)
