"""The overhead of a trial besides its training: suggesting, executing, recording and tracking it.

    RAY_worker_niceness=0 python -m tests.benchmarks.overhead [--trials N] [--profile]

Searches a method without training (3 parameters, 5 reports per trial). The figure is the wall time
per trial in the steady state, from the end of the tenth trial to the end of the last. `--profile`
shows where the driver spends its time, and slows it down. With many trials and a sampler that
takes almost no time (`--trials 2000 --sampler random`), compare `early` with `late` to see whether
the overhead grows during a search.
"""

import cProfile
import json
import os
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from tests.benchmarks._common import argument_parser
from tests.tuner.faults.plugin import offer

if TYPE_CHECKING:
    from tuner.orchestration.snapshot import SearchSnapshot

_WARM_UP_TRIALS = 10
_WINDOW = 100
_PROFILE_LINES = 25


class Stopwatch:
    """Records when trials end, and optionally profiles the driver."""

    def __init__(self, *, profiled: bool) -> None:
        self.ends: list[float] = []
        self.cpu: list[float] = []
        self.all_cpu: list[float] = []
        self.memory: list[int] = []
        self._profile = cProfile.Profile() if profiled else None

    def watch(self, snapshot: "SearchSnapshot") -> None:
        """Record the trials that have ended since the last call."""
        new = snapshot.done - len(self.ends)
        self.ends += [time.perf_counter()] * new
        self.cpu += [time.thread_time()] * new
        self.all_cpu += [time.process_time()] * new
        if new:
            self.memory += [psutil.Process().memory_info().rss] * new
        if new and self._profile is not None:
            if len(self.ends) == _WARM_UP_TRIALS:
                self._profile.enable()
            if len(self.ends) == snapshot.total:
                self._profile.disable()

    def per_trial(self, times: list[float]) -> float:
        """Return the seconds per trial by one of the clocks."""
        return (times[-1] - times[_WARM_UP_TRIALS - 1]) / (len(times) - _WARM_UP_TRIALS)

    def window(self, first: int, last: int) -> dict[str, float]:
        """Return time per trial and memory over trials `first` to `last`, ordered by their end."""
        span = slice(first, last)
        ends, cpu = self.ends[span], self.all_cpu[span]
        return {
            "seconds": (ends[-1] - ends[0]) / (len(ends) - 1),
            "driver_cpu_seconds": (cpu[-1] - cpu[0]) / (len(cpu) - 1),
            "driver_megabytes": self.memory[span][-1] / 1e6,
        }

    def print_profile(self) -> None:
        """Print the profile to stderr."""
        if self._profile is not None:
            stats = pstats.Stats(self._profile, stream=sys.stderr)
            stats.sort_stats("cumulative").print_stats(2 * _PROFILE_LINES)
            stats.sort_stats("tottime").print_stats(_PROFILE_LINES)


def measure(folder: Path, *, trials: int, workers: int, sampler: str, profiled: bool) -> None:
    """Run one search in `folder` and print its figures as JSON."""
    from tuner.execution.cluster import Resources
    from tuner.orchestration.locations import Locations
    from tuner.orchestration.search import search
    from tuner.orchestration.session import Session
    from tuner.study.study import Study

    points = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    np.save(folder / "points.npy", points)
    stopwatch = Stopwatch(profiled=profiled)
    study = Study(
        methods=("idle",),
        dataset=str(folder / "points.npy"),
        trials=trials,
        replicas=1,
        sampler=sampler,
        scheduler="none",
        finalists=1,
        finalist_seeds=1,
        name="overhead",
    )
    locations = Locations(
        storage=f"sqlite:///{folder / 'tuner.db'}",
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "artifacts",
    )
    start = time.perf_counter()
    session = Session(
        locations=locations,
        resources=Resources(workers=workers),
        on_progress=stopwatch.watch,
        on_message=lambda _: None,
        allow_unclustered=True,  # the points are noise
    )
    search(study, session)
    stopwatch.print_profile()
    figures = {
        "trials": trials,
        "workers": workers,
        "sampler": sampler,
        "seconds_per_trial": stopwatch.per_trial(stopwatch.ends),
        "main_thread_cpu_seconds_per_trial": stopwatch.per_trial(stopwatch.cpu),
        "driver_cpu_seconds_per_trial": stopwatch.per_trial(stopwatch.all_cpu),
        "early": stopwatch.window(20, 20 + _WINDOW),
        "late": stopwatch.window(-_WINDOW, trials),
        "seconds_to_first_trial": stopwatch.ends[0] - start,
        "seconds": time.perf_counter() - start,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))


def main() -> None:
    """Measure in a temporary folder, from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        plugin = str(offer(Path(name) / "plugin"))
        sys.path.insert(0, plugin)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [plugin, *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        measure(
            Path(name),
            trials=args.trials,
            workers=args.workers,
            sampler=args.sampler,
            profiled=args.profile,
        )


if __name__ == "__main__":
    main()
