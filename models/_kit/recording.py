"""Training steps, which a GPU records once and replays.

A small network's step is a few hundred kernels, and a GPU finishes each before Python has launched
the next. Recorded as a CUDA graph, the same kernels start without Python.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import final

import torch
from torch import Tensor

from .draws import Draws

Metrics = Mapping[str, Tensor]

WARM_UP_STEPS = 3
"""Steps of each shape that are taken before one is recorded, since the first ones allocate."""


class RecordingError(RuntimeError):
    """A step does something that cannot be recorded."""


class Recording(ABC):
    """Work on tensors that stay where they are, recorded so that it can be repeated."""

    @abstractmethod
    def __init__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Do the work once and record it. It may draw random numbers from the generators only."""

    @abstractmethod
    def replay(self) -> None:
        """Do the work again."""

    @staticmethod
    @abstractmethod
    def warm_up(work: Callable[[], None]) -> None:
        """Do the work once, in the way that recording it later requires."""


@final
class CudaGraph(Recording):
    """Work recorded as a CUDA graph."""

    def __init__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings(action="ignore"):  # torch 2.15 does so itself, and warns
            for generator in generators:
                self.graph.register_generator_state(generator)
        try:
            # the outer context restores the stream where torch 2.11 does not, after a failure
            with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(self.graph):
                work()
            self.replay()  # recording does not do the work
        except RuntimeError as error:
            if (memory := _memory_error(error)) is not None:
                raise torch.OutOfMemoryError(memory) from error
            *_, first = _causes(error)
            raise RecordingError(f"a GPU cannot record the training step: {first}") from error

    def replay(self) -> None:
        """Launch all kernels at once."""
        self.graph.replay()

    @staticmethod
    def warm_up(work: Callable[[], None]) -> None:
        """Do the work on another stream than the default one, as recording requires."""
        current = torch.cuda.current_stream()
        stream = _side_stream(current.device)
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                work()
        finally:  # also if memory ran out: what is freed then may still be in use on the stream
            current.wait_stream(stream)


RECORDINGS: dict[str, type[Recording]] = {"cuda": CudaGraph}
"""How steps are recorded, by type of device. On others they are called."""


@final
class Step:
    """A training step, and the mean of the metrics (R,) that it returns.

    `function` maps tensors to metrics. Whatever else it uses stays the same: points, networks,
    optimisers and `draws` are read and changed in place. A number that differs between calls is
    an argument, a tensor of shape (). No shape and no decision depends on values of tensors.
    """

    def __init__(self, function: Callable[..., Metrics], draws: Draws) -> None:
        self._function, self._draws = function, draws
        self._recording_type = RECORDINGS.get(draws.device.type)
        self._kinds: dict[tuple[tuple[torch.Size, torch.dtype], ...], _RecordedStep] = {}
        self._totals: dict[str, Tensor] = {}
        self._steps = 0

    def __call__(self, *arguments: Tensor) -> None:
        """Take the step and add up its metrics."""
        self._steps += 1
        if self._recording_type is None:
            self._take(*arguments)
            return
        kind = tuple((argument.shape, argument.dtype) for argument in arguments)
        if kind not in self._kinds:
            self._kinds[kind] = _RecordedStep(self._recording_type, self._draws.generators)
        self._kinds[kind](self._take, *arguments)

    def mean(self) -> dict[str, Tensor]:
        """Return the mean metrics of the steps since the last call, and begin anew."""
        means = {name: total / self._steps for name, total in self._totals.items()}
        for total in self._totals.values():
            total.zero_()
        self._steps = 0
        return means

    def _take(self, *arguments: Tensor) -> None:
        metrics = self._function(*arguments)
        if self._totals:
            values = [metrics[name].detach() for name in self._totals]
            torch._foreach_add_(list(self._totals.values()), values)
        else:
            self._totals = {name: value.detach().clone() for name, value in metrics.items()}


@final
class _RecordedStep:
    """A step for arguments of given shapes and types: taken, then recorded, then replayed.

    It does not refer to its owner: in a cycle, graphs would keep their memory until Python
    collects garbage. Some versions of torch then also free the workspace of the matrix products in
    graphs that were recorded later (pytorch issue 193402).
    """

    def __init__(
        self, recording_type: type[Recording], generators: Sequence[torch.Generator]
    ) -> None:
        self._recording_type, self._generators = recording_type, generators
        self._taken = 0
        self._recording: Recording | None = None
        self._arguments: list[Tensor] = []  # of the recording, which reads them from there

    def __call__(self, take: Callable[..., None], *arguments: Tensor) -> None:
        if self._recording is not None:
            for recorded, argument in zip(self._arguments, arguments, strict=True):
                recorded.copy_(argument)
            self._recording.replay()
        elif self._taken < WARM_UP_STEPS:
            self._taken += 1
            self._recording_type.warm_up(partial(take, *arguments))
        else:
            self._arguments = [argument.clone() for argument in arguments]
            work = partial(take, *self._arguments)
            self._recording = self._recording_type(work, self._generators)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one stream per device, since memory that one stream used is not free for others."""
    return torch.cuda.Stream(device)


def _memory_error(error: BaseException) -> str | None:
    """Return what a GPU without memory said, since a recording then ends with another error.

    Only torch's allocator raises OutOfMemoryError. A graph also takes memory of the driver, when
    it is made and when it is first launched.
    """
    for cause in _causes(error):
        if isinstance(cause, torch.OutOfMemoryError) or "out of memory" in str(cause):
            return str(cause)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it followed, the first of them last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__context__
