"""A device that several processes share: replicas per second, and trials per hour.

The replicas are spread over one, two or four processes, which begin a window of time together.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks._gpu_bench import Bench, Setting
from tests.benchmarks._gpu_kernels import main_step
from tests.benchmarks._gpu_results import Case, Facts, Results, reason
from tests.benchmarks._gpu_steps import moment

SHARED = ("gmvae fc M=1", "em_vae (paper)")
TRIAL_PASSES = 10  # over the points of a trial, each followed by an evaluation
_ROOT = Path(__file__).parents[2]
_START_UP = 10.0  # seconds that the processes and their first job need at least
_LATER = 5.0  # seconds that a later job needs
_LONGEST = 40.0  # seconds until a process must have answered
_BLOCK = 8  # steps between looks at the clock

Work = Callable[[float], Facts]


@final
@dataclass
class Crew:
    """Processes that wait for jobs. One that fails ends all, and the next job has new ones."""

    bench: Bench
    size: int
    points: int
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    folder: Any = None

    def work(self, job: Facts, processes: int) -> list[Facts]:
        """Let so many processes do a job at the same time, and return what each has found."""
        try:
            self._start()
            crew = self.processes[:processes]
            for process in crew:
                _send(process, job)
            for process in crew:
                _answer(process)  # it is ready
            start = time.time() + 0.1
            for process in crew:
                _send(process, {"start": start})
            return [_answer(process) for process in crew]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes = []
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None

    def _start(self) -> None:
        if self.processes:
            return
        self.folder = tempfile.TemporaryDirectory()
        points = Path(self.folder.name) / "points.npy"
        np.save(points, self.bench.x[: self.points].cpu().numpy())
        options = {"kind": "crew", "device": self.bench.device, "points": str(points)}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.gpu", "--worker", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # so that `select` sees all that has not been read
                cwd=_ROOT,
            )
            for _ in range(self.size)
        ]


def cases(bench: Bench) -> list[Case]:
    """Return the jobs; each is done by one process, then by more."""
    total, counts = (12, (1, 2, 4)) if bench.on_gpu else (2, (1, 2))
    crew = Crew(bench, max(counts), points=10_000 if bench.on_gpu else 200)
    bench.closing.callback(crew.close)
    window = 2.0 if bench.on_gpu else 0.5
    names = [name for name in SHARED if name.split()[0] in bench.methods]
    steps = [
        Case(
            f"sharing/{name}/{n}x{total // n}",
            partial(_steps, crew, name, n, total // n, window),
            lambda found: f"{found['per_second']:.0f} replica steps/s",
            _LATER,
        )
        for name in names
        for n in counts
    ]
    replicas = 3 if bench.on_gpu else 1
    trials = [
        Case(
            f"sharing/trials of {replicas}/{n}",
            partial(_trials, crew, n, replicas, 2 * window),
            lambda found: f"{found['per_hour']:.0f} trials/hour",
            _LATER,
        )
        for n in counts
        if SHARED[0] in names
    ]
    found = steps[: len(counts)] + trials + steps[len(counts) :]
    return [replace(found[0], seconds=_START_UP), *found[1:]] if found else []


def _steps(crew: Crew, name: str, processes: int, replicas: int, window: float) -> Facts:
    """Return the steps per second of all replicas together."""
    job = {"job": "steps", "setting": name, "replicas": replicas, "window": window}
    each = crew.work(job, processes)
    rate = sum(replicas * one["steps"] / one["seconds"] for one in each)
    return {"processes": processes, "replicas": replicas, "per_second": rate, "each": each}


def _trials(crew: Crew, processes: int, replicas: int, window: float) -> Facts:
    """Return the trials per hour of all processes together."""
    job = {"job": "trials", "setting": SHARED[0], "replicas": replicas, "window": window}
    each = crew.work(job, processes)
    rate = 3600 * sum(one["passes"] / TRIAL_PASSES / one["seconds"] for one in each)
    return {"processes": processes, "replicas": replicas, "per_hour": rate, "each": each}


def _send(process: "subprocess.Popen[bytes]", message: Facts) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


def _answer(process: "subprocess.Popen[bytes]") -> Facts:
    """Return the next answer of a process, or raise if it has failed or takes too long."""
    assert process.stdout is not None
    end = time.monotonic() + _LONGEST
    while select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with exit status {process.wait()}")
        if not line.startswith(b"{"):  # what some library prints
            continue
        found: Facts = json.loads(line)
        if "failed" in found:
            raise RuntimeError(f"a process failed: {found['failed']}")
        return found
    raise TimeoutError(f"a process did not answer within {_LONGEST:.0f} s")


def serve(options: Facts) -> None:
    """Do the jobs that arrive as lines of JSON, until there are no more."""
    torch.set_num_threads(1)
    bench = Bench(options["device"], (), Results(Path(), {"cases": {}}))
    bench.x = torch.from_numpy(np.load(options["points"])).to(bench.device)
    for line in iter(sys.stdin.readline, ""):
        try:
            job = json.loads(line)
            work = _JOBS[job["job"]](bench, bench.named(job["setting"]), job["replicas"])
            _say({"ready": True})
            start = json.loads(sys.stdin.readline())["start"]
            time.sleep(max(0.0, start - time.time()))
            _say(work(job["window"]))
        except Exception as error:
            _say({"failed": reason(error)})


def _say(message: Facts) -> None:
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:  # whoever asked has ended
        os._exit(0)


def _stepping(bench: Bench, setting: Setting, replicas: int) -> Work:
    """Return the work of taking one step again and again."""
    step = main_step(bench, setting, replicas, recorded=True)
    device = torch.device(bench.device)

    def work(window: float) -> Facts:
        start, steps, flying = time.perf_counter(), 0, deque([moment(device)])
        while time.perf_counter() - start < window:
            for _ in range(_BLOCK):
                step()
            steps += _BLOCK
            flying.append(moment(device))
            if len(flying) > 2:  # the device has work, and is not far behind
                _reach(flying.popleft())
        _reach(flying[-1])
        return {"steps": steps, "seconds": time.perf_counter() - start}

    return work


def _searching(bench: Bench, setting: Setting, replicas: int) -> Work:
    """Return the work of trials: trainings with an evaluation after each pass."""
    from tuner.evaluation.graph import neighbour_graph

    n = 3000 if bench.on_gpu else 100
    graph = neighbour_graph(bench.x[:n].cpu().numpy(), fingerprint="")
    points = bench.x[torch.from_numpy(graph.index).to(bench.device)]
    _passes(bench, setting, replicas, graph, points, 0.0)  # the first one loads and compiles

    def work(window: float) -> Facts:
        start = time.perf_counter()
        passes = _passes(bench, setting, replicas, graph, points, window)
        return {"passes": passes, "seconds": time.perf_counter() - start}

    return work


def _passes(
    bench: Bench, setting: Setting, replicas: int, graph: Any, points: Tensor, window: float
) -> int:
    """Train, one trial after another, for a time, and return the passes."""
    from tuner.evaluation.objective import evaluate

    start, passes = time.perf_counter(), 0
    while True:
        method = setting.fresh(replicas, bench.x, passes=TRIAL_PASSES)
        with bench.steps(recorded=True):
            for _ in method.fit(bench.x):
                evaluate(graph, method.predict_log_proba(points).float().cpu().numpy())
                passes += 1
                if time.perf_counter() - start > window:
                    return passes


def _reach(mark: Any) -> None:
    """Wait until the device has reached a mark."""
    if not isinstance(mark, float):
        mark.synchronize()


_JOBS: dict[str, Callable[[Bench, Setting, int], Work]] = {
    "steps": _stepping,
    "trials": _searching,
}
