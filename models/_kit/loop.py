"""Parts of a training loop: epochs, batches, optimiser steps, metrics, resumable state."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from ...methods.config import Scalar
from ...methods.contract import State
from .draws import Draws
from .precision import mixed_precision


class Clock:
    """Counts the epochs of training, in each stage and in total."""

    def __init__(self) -> None:
        self.passes: dict[str, int] = {}

    @property
    def epoch(self) -> int:
        """Epochs so far, over all stages."""
        return sum(self.passes.values())

    def count(self, stage: str, passes: int) -> Iterator[int]:
        """Yield the remaining epochs of a stage, counted from 1.

        An epoch counts from its beginning, so a state saved where `fit` yields includes it.
        """
        while self.passes.get(stage, 0) < passes:
            self.passes[stage] = self.passes.get(stage, 0) + 1
            yield self.passes[stage]

    def state(self) -> dict[str, int]:
        """Return the epochs of every stage."""
        return dict(self.passes)

    def restore(self, state: Mapping[str, int]) -> None:
        """Restore the epochs of every stage."""
        self.passes = {stage: int(passes) for stage, passes in state.items()}


def minibatches(x: Tensor, size: int, draws: Draws) -> Iterator[Tensor]:
    """Yield batches (R, B, F) that hold every point once, each replica in its own order.

    The points are split into ⌈N / size⌉ batches of nearly equal size.
    """
    for index in batch_indices(len(x), size, draws):
        yield x[index]


def batch_indices(n: int, size: int, draws: Draws) -> Iterable[Tensor]:
    """Return the indices (R, B) of one epoch over n points in batches of at most `size`."""
    return draws.permutation(n).tensor_split(-(-n // size), dim=1)


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.Adam:
    """Return a fused Adam, which updates all parameters with one kernel."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=eps, fused=True)


def gradient_step(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one optimiser step on a loss (R,) and return the loss, detached.

    The loss is summed, so every replica gets its own gradient. Nothing waits for the device.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.sum().backward()
    optimiser.step()
    return loss.detach()


class Mean:
    """The mean of named metrics, each of shape (R,), over the batches of an epoch."""

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


def train_epoch(
    points: Tensor,
    loss: Callable[[Tensor], Mapping[str, Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    batch_size: int,
    draws: Draws,
) -> dict[str, Tensor]:
    """Train for one epoch on points (N, F) and return the mean metrics, each (R,).

    `loss` maps a batch (R, B, F) to metrics (R,), including "loss".
    """
    mean = Mean()
    for batch in minibatches(points, batch_size, draws):
        with mixed_precision(points.device, points.shape[1]):
            metrics = loss(batch)
        gradient_step(optimiser, metrics["loss"])
        mean.add(metrics)
    return mean.result()


def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor, *, size: int = 4096) -> Tensor:
    """Apply a function to chunks of the points x and join the results along axis -2."""
    if len(x) <= size:
        return function(x)
    return torch.cat([function(chunk) for chunk in x.split(size)], dim=-2)


def pack(**parts: object) -> State:
    """Return the state of several parts as one flat mapping.

    A part is a network, an optimiser, a tensor, or an object with `state` and `restore`.
    """
    state: State = {}
    for name, part in parts.items():
        for key, value in _state_of(part).items():
            state[f"{name}/{key}"] = value.detach().clone() if isinstance(value, Tensor) else value
    return state


def unpack(state: Mapping[str, Tensor | Scalar], **parts: object) -> None:
    """Restore every part from a state that `pack` made with the same names."""
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
