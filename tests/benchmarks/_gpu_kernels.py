"""The kernels of a training step, and the time of other ways to do its slowest parts."""

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks._gpu_bench import Bench, Setting
from tests.benchmarks._gpu_results import Case, Facts
from tests.benchmarks._gpu_steps import milliseconds, moment
from tests.benchmarks.limit import seconds
from tuner.models._kit.recording import WARM_UP_STEPS, CudaGraph, Step

PROFILED = ("em_vae (paper)", "gmvae conv M=10")
_STEPS = 5  # that are profiled
_NORMS = ((500, 16, 23, 23), (500, 32, 18, 18), (2000, 64, 18, 18))
_STACK, _CONV, _KERNEL = 4, (500, 16, 23, 23), (32, 16, 6, 6)
_LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@final
@dataclass
class MainStep:
    """A step of the main stage of a training, which can be taken again and again."""

    step: Step
    arguments: tuple[Tensor, ...]

    def __call__(self) -> None:
        """Take the step."""
        self.step(*self.arguments)


def main_step(bench: Bench, setting: Setting, replicas: int, *, recorded: bool) -> MainStep:
    """Return the last step of a short training; it has been recorded if steps are."""
    taken: list[MainStep] = []
    call = Step.__call__

    def remembered(step: Step, *arguments: Tensor) -> None:
        taken[:] = [MainStep(step, arguments)]
        call(step, *arguments)

    x = bench.x[: 8 * setting.batch_size]
    with bench.steps(recorded=recorded), patch.object(Step, "__call__", remembered):
        for _ in setting.fresh(replicas, x, passes=4).fit(x):
            pass
    return taken[0]


def cases(bench: Bench) -> list[Case]:
    """Return the timings of alternatives and then the profiles, which can slow down the rest."""
    found: list[Case] = []
    if "gmvae" in bench.methods:
        found += _norm_cases(bench) + (_convolution_cases(bench) if bench.on_gpu else [])
    names = [name for name in PROFILED if name.split()[0] in bench.methods]
    replicas, modes = ((1, 4), ("called", "recorded")) if bench.on_gpu else ((1,), ("called",))
    return found + [
        Case(f"kernels/{name}/{n}/{mode}", partial(_profile, bench, name, n, mode), _kernel_text)
        for mode in modes
        for n in replicas
        for name in (names if bench.on_gpu else names[:1])
    ]


def _profile(bench: Bench, name: str, replicas: int, mode: str) -> Facts:
    """Return the kernels per step, their time, and the share of the longest ones by name."""
    bench.tidy()
    step = main_step(bench, bench.named(name), replicas, recorded=mode == "recorded")
    device = torch.device(bench.device)
    step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_gpu else [])]
    _wait(device)
    with profile(activities=activities) as profiled:
        for _ in range(_STEPS):
            step()
        _wait(device)
    times, count = _times(profiled.events(), on_gpu=bench.on_gpu)
    total = sum(times.values())
    top = {kernel[:200]: us / total for kernel, us in times.most_common(8)}
    return {"kernels": count / _STEPS, "ms": total / 1e3 / _STEPS, "top": top}


def _times(events: Any, *, on_gpu: bool) -> tuple[Counter[str], int]:
    """Return the microseconds of all kernels by name, and their number; on the CPU operations."""
    times: Counter[str] = Counter()
    count = 0
    for event in events:
        if event.name.startswith(("Optimizer.", "ProfilerStep")):  # labels of whole ranges
            continue
        if not on_gpu:
            times[event.name] += event.self_cpu_time_total
        elif event.device_type == torch.autograd.DeviceType.CUDA:
            times[event.name] += event.time_range.elapsed_us()
        else:
            continue
        count += 1
    if not count:
        raise RuntimeError("the profiler saw no kernels")
    return times, count


def _kernel_text(found: Facts) -> str:
    name, share = next(iter(found["top"].items()))
    return f"{found['kernels']:.0f} kernels, {found['ms']:.3f} ms, {share:.0%} {name[:40]}"


def _norm_cases(bench: Bench) -> list[Case]:
    """Return timings of batch normalisation, there and back."""
    shapes = _NORMS if bench.on_gpu else ((20, 4, 5, 5),)
    ways: dict[str, tuple[str, Callable[..., Tensor]]] = {"NCHW": ("NCHW", _norm)}
    if bench.on_gpu:
        ways |= {
            "channels_last": ("channels_last", _norm),
            "own NCHW": ("NCHW", _own_norm),
            "own channels_last": ("channels_last", _own_norm),
            "cudnn channels_last": ("channels_last", _cudnn_norm),
        }
    return [
        Case(
            f"kernels/batch norm {'x'.join(map(str, shape))}/{name}",
            partial(_time_norm, bench, shape, layout, norm),
            _ms_text,
        )
        for shape in shapes
        for name, (layout, norm) in ways.items()
    ]


def _time_norm(bench: Bench, shape: tuple[int, ...], layout: str, norm: Any) -> Facts:
    bench.tidy()
    x = _random(bench, shape, layout).requires_grad_()
    grad = torch.ones_like(x)
    scale, shift, mean, variance = (
        torch.full((shape[1],), value, device=bench.device) for value in (1.0, 0.0, 0.0, 1.0)
    )
    trained = (x, scale.requires_grad_(), shift.requires_grad_())

    def work() -> None:
        torch.autograd.grad(norm(*trained, mean, variance), trained, grad)

    return {"ms": _repeated_ms(bench, work)}


def _norm(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, shift, training=True)


def _own_norm(*arguments: Tensor) -> Tensor:
    """Normalise with the kernels of torch itself."""
    with torch.backends.cudnn.flags(enabled=False):
        return _norm(*arguments)


def _cudnn_norm(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    normalise = torch.ops.aten.cudnn_batch_norm
    return normalise(x, scale, shift, mean, variance, True, 0.1, 1e-5)[0]


def _convolution_cases(bench: Bench) -> list[Case]:
    """Return timings of a stack's convolutions, there and back, as one or one by one."""
    ways = {"grouped": _time_grouped, "one by one": _time_separate}
    return [
        Case(
            f"kernels/convolution R={_STACK}/{name} {layout}",
            partial(way, bench, layout),
            _ms_text,
        )
        for name, way in ways.items()
        for layout in _LAYOUTS
    ]


def _time_grouped(bench: Bench, layout: str) -> Facts:
    bench.tidy()
    n, channels, *size = _CONV
    x = _random(bench, (n, _STACK * channels, *size), layout).requires_grad_()
    weight = _random(bench, (_STACK * _KERNEL[0], *_KERNEL[1:]), layout).requires_grad_()

    def work() -> None:
        y = F.conv2d(x, weight, groups=_STACK)
        torch.autograd.grad(y, (x, weight), torch.ones_like(y))

    return {"ms": _repeated_ms(bench, work)}


def _time_separate(bench: Bench, layout: str) -> Facts:
    bench.tidy()
    xs = [_random(bench, _CONV, layout).requires_grad_() for _ in range(_STACK)]
    weights = [_random(bench, _KERNEL, layout).requires_grad_() for _ in range(_STACK)]

    def work() -> None:
        for x, weight in zip(xs, weights, strict=True):
            y = F.conv2d(x, weight)
            torch.autograd.grad(y, (x, weight), torch.ones_like(y))

    return {"ms": _repeated_ms(bench, work)}


def _random(bench: Bench, shape: tuple[int, ...], layout: str) -> Tensor:
    """Return numbers in bfloat16, on the CPU in float32."""
    dtype = torch.bfloat16 if bench.on_gpu else torch.float32
    x = torch.randn(shape, device=bench.device, dtype=dtype)
    return x.contiguous(memory_format=_LAYOUTS[layout])


def _repeated_ms(bench: Bench, work: Callable[[], None], repeats: int = 20) -> float:
    """Return the median time of the work, on a GPU as a recorded graph."""
    if not bench.on_gpu:
        return 1e3 * seconds(work, bench.device)
    device = torch.device(bench.device)
    for _ in range(WARM_UP_STEPS):
        CudaGraph.warm_up(work)
    graph = CudaGraph(work, ())
    times = []
    for _ in range(5):
        start = moment(device)
        for _ in range(repeats):
            graph.replay()
        times.append(milliseconds(start, moment(device)) / repeats)
    return statistics.median(times)


def _ms_text(found: Facts) -> str:
    return f"{found['ms']:.4f} ms"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
