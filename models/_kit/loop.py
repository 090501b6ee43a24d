"""Parts of a training loop: epochs, batches, optimiser steps, metrics."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .draws import Draws
from .precision import mixed_precision
from .recording import Metrics, Step

_MEMORY_PER_CHUNK = 8 * 2**30


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

    def selected(self, replicas: Sequence[int]) -> dict[str, int]:
        """Return the epochs of every stage, which all replicas share."""
        del replicas
        return self.state()

    def restore(self, state: Mapping[str, int]) -> None:
        """Restore the epochs of every stage."""
        self.passes = {stage: int(passes) for stage, passes in state.items()}


def batch_indices(n: int, size: int, draws: Draws) -> Sequence[Tensor]:
    """Return indices (R, B) that hold each of n points once, each replica in its own order.

    The points are split into ⌈n / size⌉ batches of nearly equal size.
    """
    return draws.permutation(n).tensor_split(-(-n // size), dim=1)


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.Adam:
    """Return a fused Adam, which updates all parameters with one kernel.

    Its learning rate is a tensor on their device, so that recorded steps follow its changes.
    """
    trained = list(parameters)
    device = trained[0].device
    return torch.optim.Adam(
        trained,
        lr=torch.full((), learning_rate, device=device),
        betas=betas,
        eps=eps,
        fused=True,
        capturable=device.type == "cuda",
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of an optimiser that `adam` made."""
    for group in optimiser.param_groups:
        group["lr"].fill_(rate)


def gradient_step(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one optimiser step on a loss (R,) and return the loss, detached.

    The loss is summed, so every replica gets its own gradient. Nothing waits for the device.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.sum().backward()
    optimiser.step()
    return loss.detach()


def descent(
    points: Tensor, loss: Callable[..., Metrics], optimiser: torch.optim.Optimizer, draws: Draws
) -> Step:
    """Return the step that updates parameters on the points with indices (R, B).

    `loss` maps a batch (R, B, F) of the points (N, F), and the step's further arguments, to
    metrics (R,), including "loss".
    """

    def step(index: Tensor, *arguments: Tensor) -> Metrics:
        with mixed_precision(points.device, points.shape[1]):
            metrics = loss(points[index], *arguments)
        gradient_step(optimiser, metrics["loss"])
        return metrics

    return Step(step, draws)


def train_epoch(step: Step, batches: Iterable[Tensor], *arguments: Tensor) -> dict[str, Tensor]:
    """Take a step on every batch of indices (R, B) and return the mean metrics, each (R,)."""
    for index in batches:
        step(index, *arguments)
    return step.mean()


@torch.no_grad()
def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor, *, size: int = 4096) -> Tensor:
    """Apply a function to chunks of the points x and join the results along axis -2.

    `size` is the number of points that suits a CPU; see `chunk_size` for a GPU. No result outlives
    its chunk: a list of them would keep the layers' large blocks from being used again, because
    each would lie in the midst of the memory that the layers before it had given back.
    """
    size = chunk_size(x.device, size)
    if len(x) <= size:
        return function(x)
    part = function(x[:size])
    joined = part.new_empty(*part.shape[:-2], len(x), part.shape[-1])
    for start in range(0, len(x), size):
        if start:
            part = function(x[start : start + size])
        joined[..., start : start + size, :] = part
        del part
    return joined


def chunk_size(device: torch.device, size: int = 4096) -> int:
    """Return how many points to process at a time where a CPU takes `size`.

    A CPU is fastest while the numbers stay in its cache. A GPU is fastest with as many points as
    fit, so it takes that number for each 8 GiB of its memory.
    """
    if device.type != "cuda":
        return size
    memory = torch.cuda.get_device_properties(device).total_memory
    return size * max(1, memory // _MEMORY_PER_CHUNK)
