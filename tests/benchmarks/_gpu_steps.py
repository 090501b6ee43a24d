"""The time, the memory and the limit of training steps, recorded and called."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, final
from unittest.mock import patch

import torch
from torch import Tensor

from tests.benchmarks._gpu_bench import NAMED, PASSES, Bench, Setting
from tests.benchmarks._gpu_counts import RATES, counts_of, limit_ms, measured_rates
from tests.benchmarks._gpu_results import Case, Facts, reason
from tuner.methods.contract import Method
from tuner.models._kit.recording import WARM_UP_STEPS, Step

_UNTIMED = WARM_UP_STEPS + 1  # steps of each shape: the warm-up, and the one that is recorded
_PATIENCE = 8  # times the planned seconds, after which a timing ends with what it has

Shapes = tuple[torch.Size, ...]


def moment(device: torch.device) -> Any:
    """Return a mark in the work of a device, without waiting for it."""
    if device.type == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def milliseconds(start: Any, end: Any) -> float:
    """Return the time between two marks."""
    if isinstance(start, float):
        return float(1e3 * (end - start))
    end.synchronize()
    return float(start.elapsed_time(end))


@final
@dataclass
class _Run:
    """Consecutive steps of the same shape within one pass."""

    step: Step
    arguments: tuple[Tensor, ...]
    start: Any
    end: Any = None
    steps: int = 0

    def has(self, step: Step, arguments: tuple[Tensor, ...]) -> bool:
        """Return whether these are arguments of the same step with the same shapes."""
        return self.step is step and _shapes(self.arguments) == _shapes(arguments)

    @property
    def ms(self) -> float:
        """Milliseconds per step."""
        return milliseconds(self.start, self.end) / self.steps


@final
class StepTimer:
    """Times runs of consecutive steps by the stage of the pass in which they were taken.

    The device is not waited for within a run. The first steps of each shape are left out.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.taken: Counter[tuple[Step, Shapes]] = Counter()
        self.runs: dict[str, list[_Run]] = defaultdict(list)
        self._pass: list[_Run] = []
        self._open = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the steps that are taken within the context."""
        call = Step.__call__

        def timed(step: Step, *arguments: Tensor) -> None:
            self._take(partial(call, step, *arguments), step, arguments)

        with patch.object(Step, "__call__", timed):
            yield

    def finish_pass(self, stage: str) -> None:
        """Say in which stage the steps since the last call were taken."""
        if self._pass:
            self.runs[stage] += self._pass
        self._pass, self._open = [], False

    def last(self, stage: str) -> list[_Run]:
        """Return the runs of the stage's last step and shape; earlier ones are of its start."""
        runs = self.runs.get(stage, [])
        return [run for run in runs if run.has(runs[-1].step, runs[-1].arguments)]

    def _take(self, call: Any, step: Step, arguments: tuple[Tensor, ...]) -> None:
        key = step, _shapes(arguments)
        self.taken[key] += 1
        if self.taken[key] <= _UNTIMED:
            self._open = False
            call()
            return
        if not self._open or not self._pass[-1].has(step, arguments):
            self._pass.append(_Run(step, arguments, moment(self.device)))
            self._open = True
        call()
        run = self._pass[-1]
        run.end, run.steps = moment(self.device), run.steps + 1


def _shapes(arguments: tuple[Tensor, ...]) -> Shapes:
    return tuple(argument.shape for argument in arguments)


@final
@dataclass
class _Training:
    """A short training of a setting whose steps are timed."""

    bench: Bench
    setting: Setting
    replicas: int
    recorded: bool

    def facts(self) -> Facts:
        """Train, and return times by stage, and the memory or what a step consists of."""
        self.bench.tidy()
        x = self.bench.x[: self.bench.sizes.steps * self.setting.batch_size]
        timer = StepTimer(x.device)
        with self.bench.steps(recorded=self.recorded), timer.watching():
            method = self.setting.fresh(self.replicas, x)
            self._train(method, x, timer)
        if not timer.runs:
            raise RuntimeError("no step was timed: the passes are too short")
        stages = {stage: _facts(timer.last(stage)) for stage in timer.runs}
        if self.recorded:
            return {"stages": stages, **_memory(self.bench)}
        for stage in stages:
            stages[stage] |= self._counts(timer.last(stage)[-1], method, len(x))
        return {"stages": stages}

    def _train(self, method: Method, x: Tensor, timer: StepTimer) -> None:
        """Train until the steps of the main stage have been timed long enough."""
        start = time.monotonic()
        for report in method.fit(x):
            timer.finish_pass(report.stage)
            timed = 2 * report.epoch > PASSES and len(timer.last(report.stage)) > 1
            seconds = (time.monotonic() - start) / self.bench.sizes.seconds
            if (timed and seconds > 1) or seconds > _PATIENCE:
                break

    def _counts(self, run: _Run, method: Method, points: int) -> Facts:
        """Return what the step of a run consists of, or why that is not known."""
        try:
            facts = counts_of(run.step, run.arguments, method)
            if self.replicas == 1:
                facts["limit_ms"] = limit_ms(self.bench, self.setting, facts, points)
        except Exception as error:  # the times are still good
            return {"uncounted": reason(error)}
        return facts


def _facts(runs: list[_Run]) -> Facts:
    return {
        "ms": statistics.median(run.ms for run in runs),
        "passes": len(runs),
        "steps": sum(run.steps for run in runs),
        "shapes": [list(shape) for shape in _shapes(runs[-1].arguments)],
    }


def _memory(bench: Bench) -> Facts:
    if not bench.on_gpu:
        return {"allocated_gib": None, "reserved_gib": None}
    return {
        "allocated_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
    }


def key(part: str, name: str, replicas: int, mode: str) -> str:
    """Return the key of a timing."""
    return f"{part}/{name}/{replicas}/{mode}"


def _text(found: Facts) -> str:
    stages = found["stages"].items()
    return ", ".join(f"{stage} {facts['ms']:.3f} ms" for stage, facts in stages)


def _cases(bench: Bench, part: str, name: str, replicas: int, setting: Any) -> list[Case]:
    """Return the timings of recorded and of called steps. `setting()` may fail within them."""

    def work(recorded: bool) -> Facts:
        return _Training(bench, setting(), replicas, recorded).facts()

    modes = ("recorded", "called") if bench.on_gpu else ("called",)
    return [
        Case(key(part, name, replicas, mode), partial(work, mode == "recorded"), _text)
        for mode in modes
    ]


def named_cases(bench: Bench) -> list[Case]:
    """Return the timings of the named settings, of one replica first."""
    rates = Case(RATES, partial(measured_rates, bench), _rates_text)
    names = [name for name, (method, _) in NAMED.items() if method in bench.methods]
    return [rates] + [
        case
        for replicas in bench.sizes.replicas
        for name in names
        for case in _cases(bench, "steps", name, replicas, partial(bench.named, name))
    ]


def other_cases(bench: Bench) -> list[Case]:
    """Return the timings of the other methods at their presets, of one replica first."""
    named = {method for method, _ in NAMED.values()}
    names = [name for name in bench.methods if name not in named and bench.trains(name)]
    return [
        case
        for replicas in bench.sizes.replicas
        for name in names
        for case in _cases(bench, "methods", name, replicas, partial(bench.preset, name))
    ]


def _rates_text(found: Facts) -> str:
    return f"{found['product'] / 1e12:.1f} TFLOP/s, {found['copy'] / 1e9:.0f} GB/s"
