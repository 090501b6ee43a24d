"""How many workers one driver keeps busy, with trials that sleep.

    RAY_worker_niceness=0 python -m tests.benchmarks.crowd [--workers N] [--trials N] [--pause S]

Starts a Ray head that claims a CPU for each worker, and runs a search of trials of five passes of
`--pause` seconds each. Prints how busy the workers were (the seconds of all trials by those of all
workers, from the first trial's end to the last's start), what the driver took, and the memory of a
worker.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.benchmarks._common import argument_parser
from tests.tuner.faults.locations import ROOT, Field
from tests.tuner.mlflow_store import free_port
from tests.tuner.two_nodes import node
from tuner.ledger.ledger import Ledger

_NAME, _PASSES = "crowd", 5


@dataclass
class Sampler:
    """Looks at a process and at the workers on this machine every few seconds."""

    process: psutil.Process
    cpu: list[tuple[float, float]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Sample until the process ends."""
        with suppress(psutil.NoSuchProcess):
            while self.process.is_running():
                used = self.process.cpu_times()
                self.cpu.append((time.monotonic(), used.user + used.system))
                self.memory.append(self.process.memory_info().rss)
                self._look_at_workers()
                time.sleep(5)

    def _look_at_workers(self) -> None:
        for one in psutil.process_iter(["cmdline"]):
            if (one.info["cmdline"] or [""])[0].startswith("ray::ResourceTrainable"):
                with suppress(psutil.Error, OSError):
                    self.workers.append(one.memory_full_info().pss)


def run_search(field: Field, address: str, options: list[str]) -> tuple[Sampler, float]:
    """Run the search to its end; return what was sampled and its seconds."""
    command = [sys.executable, "-m", "tuner", "search", "-m", "idle", "-d", str(field.data)]
    where = field.locations
    settings = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(field.plugin)]),
        "RAY_ADDRESS": address,
        "TUNER_STORAGE": where.storage,
        "TUNER_ARTIFACTS": str(where.artifacts),
        "MLFLOW_TRACKING_URI": where.tracking_uri,
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *options, "--name", _NAME], env=os.environ | settings, stdout=subprocess.DEVNULL
    )
    sampler = Sampler(psutil.Process(process.pid))
    thread = threading.Thread(target=sampler.run, daemon=True)
    thread.start()
    assert process.wait() == 0
    return sampler, time.monotonic() - began


def report(field: Field, sampler: Sampler, workers: int, pause: float, seconds: float) -> None:
    """Print the figures."""
    trials = Ledger.load(field.locations.storage, _NAME).trials()
    spans = [(t.started, t.ended) for t in trials if t.ended is not None]
    first, last = min(ended for _, ended in spans), max(started for started, _ in spans)
    busy = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
    took = [end - start for start, end in spans]
    print(f"{len(spans)} trials of {_PASSES * pause:.0f} s on {workers} workers: {seconds:.0f} s")
    print(f"a trial took {statistics.median(took):.1f} s (at most {max(took):.1f})")
    print(f"workers busy: {busy / (workers * (last - first)):.0%} of {last - first:.0f} s")
    (before, used), (after, most) = sampler.cpu[0], sampler.cpu[-1]
    print(
        f"driver: {(most - used) / (after - before):.0%} of a CPU, "
        f"{max(sampler.memory) / 2**20:.0f} MiB"
    )
    print(f"worker: {statistics.median(sampler.workers) / 2**20:.0f} MiB (its share of memory)")


def main() -> None:
    """Run on a cluster of one machine that claims to have many CPUs."""
    parser = argument_parser(__doc__)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--pause", type=float, default=4.0)
    args = parser.parse_args()
    options = ["--trials", str(args.trials), "--workers", str(args.workers), "--replicas", "1"]
    options += ["--scheduler", "none", "--set", f"pause={args.pause}"]
    options += ["--set", f"epochs={_PASSES}", "--json"]
    port = str(free_port())
    flags = ["--head", "--port", port, "--include-dashboard", "false"]
    flags += ["--ray-client-server-port", str(free_port())]
    with tempfile.TemporaryDirectory() as name:
        field = Field(Path(name))
        settings = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(field.plugin)])}
        with node(*flags, settings=settings, cpus=args.workers):
            sampler, seconds = run_search(field, f"127.0.0.1:{port}", options)
        report(field, sampler, args.workers, args.pause, seconds)


if __name__ == "__main__":
    main()
