"""Steps are called, or recorded after a warm-up and replayed, with the same result."""

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from tuner.models._kit import recording
from tuner.models._kit.draws import Draws
from tuner.models._kit.loop import adam, gradient_step, set_learning_rate
from tuner.models._kit.recording import (
    WARM_UP_STEPS,
    CudaGraph,
    Metrics,
    Recording,
    RecordingError,
    Step,
    _memory_error,
)
from tuner.testing.recording import steps_recorded_by
from tuner.testing.tape import Tape

SEEDS = (3, 4)


class Counting(Recording):
    """Counts what is warmed up, recorded and replayed."""

    events: ClassVar[list[str]] = []

    def __init__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        self.work = work
        self.events.append(f"record with {len(generators)} generators")
        work()

    def replay(self) -> None:
        self.events.append("replay")
        self.work()

    @staticmethod
    def warm_up(work: Callable[[], None]) -> None:
        Counting.events.append("warm up")
        work()


@pytest.fixture
def counting() -> Iterator[list[str]]:
    Counting.events = []
    with steps_recorded_by(Counting, "cpu"):
        yield Counting.events


def doubled(x: Tensor) -> Metrics:
    return {"value": 2 * x.sum(dim=1)}


def test_on_the_cpu_steps_are_called() -> None:
    seen: list[Tensor] = []

    def step(x: Tensor) -> Metrics:
        seen.append(x)
        return doubled(x)

    called = Step(step, Draws(SEEDS))
    arguments = [torch.full((2, 3), float(n)) for n in range(6)]
    for argument in arguments:
        called(argument)
    assert all(one is other for one, other in zip(seen, arguments, strict=True))
    assert called.mean()["value"].tolist() == [15.0, 15.0]


def test_the_mean_begins_anew_and_belongs_to_the_caller() -> None:
    step = Step(doubled, Draws(SEEDS))
    step(torch.tensor([[1.0], [2.0]]))
    step(torch.tensor([[3.0], [4.0]]))
    first = step.mean()["value"]
    step(torch.tensor([[5.0], [6.0]]))
    assert first.tolist() == [4.0, 6.0]
    assert step.mean()["value"].tolist() == [10.0, 12.0]


def test_metrics_carry_no_gradient() -> None:
    step = Step(lambda x: {"loss": (x * torch.ones(2, requires_grad=True)).sum(0)}, Draws(SEEDS))
    step(torch.ones(1, 2))
    assert not step.mean()["loss"].requires_grad


def test_a_step_is_recorded_after_its_warm_up_and_then_replayed(counting: list[str]) -> None:
    step = Step(doubled, Draws(SEEDS))
    values = [float(n) for n in range(7)]
    for value in values:
        step(torch.full((2, 1), value))
    assert counting == ["warm up"] * WARM_UP_STEPS + ["record with 2 generators"] + ["replay"] * 3
    assert step.mean()["value"].tolist() == pytest.approx([2 * sum(values) / 7] * 2)


def test_every_shape_is_recorded_once(counting: list[str]) -> None:
    step = Step(doubled, Draws(SEEDS))
    for _ in range(2):  # epochs
        for size in (3, 3, 3, 3, 2, 2, 2, 2):
            step(torch.ones(2, size))
        assert step.mean()["value"].tolist() == [5.0, 5.0]
    assert counting.count("record with 2 generators") == 2
    assert counting.count("warm up") == 2 * WARM_UP_STEPS
    assert counting.count("replay") == 8


def test_a_number_that_was_whole_at_first_is_not_rounded_later(counting: list[str]) -> None:
    step = Step(lambda weight: {"value": weight.expand(2) * 1.0}, Draws(SEEDS))
    for number in (*range(WARM_UP_STEPS + 2), 0.5):
        step(torch.full((), number))
    assert step.mean()["value"].tolist() == pytest.approx([10.5 / 6] * 2)
    assert counting[-1] == "warm up"


def test_recordings_are_freed_with_their_step_and_not_by_garbage_collection() -> None:
    class Forgetful(Recording):
        def __init__(self, work: Callable[[], None], _: Sequence[torch.Generator]) -> None:
            work()

        def replay(self) -> None:
            pass

        @staticmethod
        def warm_up(work: Callable[[], None]) -> None:
            work()

    with steps_recorded_by(Forgetful, "cpu"):
        step = Step(doubled, Draws(SEEDS))
        for _ in range(WARM_UP_STEPS + 2):
            step(torch.ones(2, 1))
    recordings = [weakref.ref(recorded._recording) for recorded in step._kinds.values()]
    gc.disable()
    try:
        del step
        assert [recorded() for recorded in recordings] == [None]
    finally:
        gc.enable()


def test_a_recording_does_not_keep_the_arguments_of_its_step(counting: list[str]) -> None:
    step, argument = Step(doubled, Draws(SEEDS)), torch.ones(2, 1)
    for _ in range(WARM_UP_STEPS + 1):
        step(argument)
    step(torch.full((2, 1), 5.0))
    assert argument.tolist() == [[1.0], [1.0]]


class Problem:
    """Least squares with noise, learnt by Adam with a rate that changes."""

    def __init__(self) -> None:
        self.draws = Draws(SEEDS)
        self.weight = torch.nn.Parameter(torch.zeros(2, 3, 1))
        self.optimiser = adam([self.weight], 0.1)
        self.x = torch.arange(60.0).reshape(20, 3).cos()

    def step(self, index: Tensor, scale: Tensor) -> Metrics:
        noise = self.draws.normal(*index.shape[1:], 3)
        x = self.x[index] + scale * noise
        loss = (x @ self.weight - x.sum(-1, keepdim=True)).square().mean(dim=(1, 2))
        return {"loss": gradient_step(self.optimiser, loss)}

    def losses(self, steps: int = 16) -> Tensor:
        step, losses = Step(self.step, self.draws), []
        for n in range(steps):
            set_learning_rate(self.optimiser, 0.1 / (1 + n))
            step(self.draws.permutation(20)[:, :5], torch.full((), 0.01 * n))
            losses.append(step.mean()["loss"])
        return torch.stack(losses)


def test_replayed_steps_draw_and_learn_as_called_ones() -> None:
    called, recorded = Problem(), Problem()
    expected = called.losses()
    with steps_recorded_by(Tape, "cpu"):
        found = recorded.losses()
    assert torch.equal(found, expected)
    assert torch.equal(recorded.weight, called.weight)
    assert torch.equal(recorded.draws.normal(4), called.draws.normal(4))
    assert len(expected.unique()) == expected.numel()


FACTORS = iter(range(1, 100))

BROKEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a number that changes": (lambda x: next(FACTORS) * x, "changes between calls"),
    "a replaced tensor": (lambda x: x + LASTING[0], "changes between calls"),
    "a mask": (lambda x: x[x > 0][:2], "depends on a mask"),
    "nonzero": (lambda x: x.sum(1) + len(x.nonzero()), "shape that depends on values"),
    "a decision": (lambda x: x.sum(1) if x.sum() > 0 else -x.sum(1), "asks for values"),
    "item": (lambda x: x.sum(1) * x.max().item(), "asks for values"),
    "cpu": (lambda x: x.cpu().sum(1), "asks for values"),
    "to the CPU": (lambda x: x.to("cpu").sum(1), "asks for values"),
    "allclose": (lambda x: x.sum(1) * torch.allclose(x, x), "whether tensors are equal"),
    "a tensor on the CPU": (lambda x: x.sum(1) + torch.arange(2), "makes a tensor on the CPU"),
    "repeats": (lambda x: x.repeat_interleave((x[:, 0] > 0) + 1, 0), "depends on values"),
    "an error check": (lambda x: torch.linalg.inv(x[:1])[0, 0] + x, "whether a matrix was fact"),
    "another row": (lambda x: x * TABLE[next(FACTORS)], "changes between calls"),
    "a view of another row": (lambda x: x * LASTING[1], "changes between calls"),
    "a tensor from Python": (lambda x: x * torch.tensor(2.0), "copies numbers from Python"),
    "the global generator": (lambda x: x + torch.rand(2, 1), "generator that is not its own"),
}
LASTING: list[Tensor] = [torch.ones(1), torch.ones(1)]
TABLE: Tensor = torch.ones(100, 1)


def take_several(step: Step) -> None:
    for n in range(WARM_UP_STEPS + 4):
        LASTING[0], LASTING[1] = torch.ones(1), TABLE[n]
        step(torch.ones(2, 1))


HARMLESS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda x: x.masked_fill(x > 5, torch.nan).sum(1),
    "complex numbers": lambda x: torch.fft.rfft(x).abs().sum(1),
    "known repeats": lambda x: x.repeat_interleave(2, 0)[::2].sum(1),
    "a tensor on the device": lambda x: (x + torch.arange(2, device=x.device)[:, None]).sum(1),
}


@pytest.mark.parametrize("key", HARMLESS)
def test_what_a_graph_gets_right_is_accepted(key: str) -> None:
    with steps_recorded_by(Tape, "cpu"):
        take_several(Step(lambda x: {"value": HARMLESS[key](x)}, Draws(SEEDS)))


@pytest.mark.parametrize("key", BROKEN)
def test_what_a_graph_would_get_wrong_is_refused(key: str) -> None:
    function, message = BROKEN[key]
    with steps_recorded_by(Tape, "cpu"):
        step = Step(lambda x: {"value": function(x).reshape(2, -1)[:, 0]}, Draws(SEEDS))
        with pytest.raises(RecordingError, match=message):
            take_several(step)


def test_between_steps_what_a_step_made_is_overwritten() -> None:
    kept: list[Tensor] = []

    def step(x: Tensor) -> Metrics:
        kept.append(x + 1)
        return {"value": x.sum(1)}

    with steps_recorded_by(Tape, "cpu"):
        recorded = Step(step, Draws(SEEDS))
        for _ in range(WARM_UP_STEPS + 1):
            recorded(torch.ones(2, 1))
    assert not kept[0].isnan().any()
    assert kept[-1].isnan().all()


def test_a_warm_up_that_fails_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        device = torch.device("cuda:0")

        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: "Stream") -> None:
            waits.append(f"{self.name} for {other.name}")

    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("default"))
    monkeypatch.setattr(recording, "_side_stream", lambda _: Stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    with pytest.raises(ZeroDivisionError):
        CudaGraph.warm_up(lambda: print(1 / 0))
    assert waits == ["side for default", "default for side"]


def test_memory_that_ran_out_while_recording_is_recognised() -> None:
    def capture() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("capture was invalidated")  # as leaving the context does

    with pytest.raises(RuntimeError, match="invalidated") as raised:
        capture()
    assert _memory_error(raised.value) == "CUDA out of memory"
    driver = "CUDA error: out of memory"
    assert _memory_error(RuntimeError(driver)) == driver
    assert _memory_error(RuntimeError("other")) is None


gpu_events: list[str] = []


class Graph:
    """Stands for a CUDA graph."""

    def register_generator_state(self, _: torch.Generator) -> None:
        warnings.warn("it is now a no-op", UserWarning, stacklevel=2)
        gpu_events.append("register")

    def replay(self) -> None:
        gpu_events.append("replay")


@contextmanager
def switched(stream: str) -> Iterator[None]:
    gpu_events.append(f"switch to {stream}")
    try:
        yield
    finally:
        gpu_events.append(f"leave {stream}")


@contextmanager
def capturing(_: Graph) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed:
            raise RuntimeError("operation failed due to a previous error during capture")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_events.clear()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "current")
    monkeypatch.setattr(torch.cuda, "stream", switched)


@pytest.mark.usefixtures("no_gpu")
def test_a_graph_is_recorded_with_its_generators_and_without_warnings() -> None:
    CudaGraph(lambda: gpu_events.append("work"), Draws(SEEDS).generators)
    around = ["switch to current", "work", "leave current"]
    assert gpu_events == ["register", "register", *around, "replay"]


@pytest.mark.usefixtures("no_gpu")
def test_an_error_of_a_recording_is_the_first_one_and_leaves_the_stream() -> None:
    def asking() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RecordingError, match="record the training step: operation not permitted"):
        CudaGraph(asking, [])
    assert gpu_events == ["switch to current", "leave current"]


@pytest.mark.usefixtures("no_gpu")
def test_a_graph_that_cannot_be_launched_for_want_of_memory_is_no_recording_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: Graph) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(Graph, "replay", full)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA error"):
        CudaGraph(lambda: None, [])
