"""Row F29: minutes of small trials, 200 at a time, and a fault every ten seconds."""

import contextlib
import random
import signal
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.tuner.mlflow_store import OLD_LOADER, free_port, server

from ..locations import Field
from .support import begin, check_points, check_whole, idle, trial_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings(OLD_LOADER),
]
TRIALS = 200
EVERY = 10.0  # seconds
PATIENCE = 180.0  # seconds for what is left once no more trials are added
FAULTS = ("driver", "worker", "mlflow", "pause", "torn")
# The first driver to report has loaded what it needs; a trial costs its row of a few hundred
# bytes in the ledger's copy, so what grows by more than this per driver is a leak.
GROWTH = 150 * 2**20
DESCRIPTORS = 40


@dataclass
class Sample:
    """What a driver held at a moment."""

    second: float
    driver: int
    ended: int
    memory: int
    descriptors: int


@dataclass
class Soak:
    """A search that goes on whatever happens to its processes."""

    field: Field
    rng: random.Random
    port: int
    log: IO[str]
    limit: float
    trials: int = TRIALS
    samples: list[Sample] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    codes: list[int] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None
    began: float = 0.0

    def run(self) -> None:
        """Run drivers until the time is over, 200 trials at a time, then one to the end."""
        self.began = time.monotonic()
        tracking = contextlib.ExitStack()
        tracking.enter_context(server(self.field.folder, self.port))
        with tracking:
            while not self.codes or self.codes[-1] != 0 or self.seconds < self.limit:
                assert self.seconds < self.limit + PATIENCE, self.told()
                self._drive(tracking)

    @property
    def seconds(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self.began

    def told(self) -> str:
        """Return how the drivers ended, and what they said at last."""
        self.log.flush()
        return f"{self.codes} {self.injected} {Path(self.log.name).read_text()[-3000:]}"

    def _words(self) -> tuple[str, ...]:
        if not self.codes:
            return begin(self.field, "soak", *idle(TRIALS, epochs=5, pause=0.02))
        if self.codes[-1] == 0:
            self.trials += TRIALS
        words = ("resume", "soak", "--workers", "2", "--json")
        return (*words, "--trials", str(self.trials))

    def _drive(self, tracking: contextlib.ExitStack) -> None:
        before, due = len(self.samples), float("inf")
        words = self._words()
        with self.field.driver(*words, stdout=self.log, stderr=self.log) as self.process:
            while self.process.poll() is None:
                time.sleep(1.0)
                self._sample()
                ended = {sample.ended for sample in self.samples[before:]}
                if due == float("inf") and len(ended) > 1:  # it has got somewhere
                    due = self.seconds + self.rng.uniform(0.0, EVERY)
                if due < self.seconds < self.limit:
                    self._inject(tracking)
                    due = self.seconds + EVERY
                assert self.seconds < self.limit + PATIENCE, self.told()
        self.codes.append(self.process.returncode)

    def _sample(self) -> None:
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            own = psutil.Process(self.process.pid)
            done = self.field.ended("soak") if any(self.field.notes.iterdir()) else 0
            found = Sample(self.seconds, own.pid, done, own.memory_info().rss, own.num_fds())
            if found.memory:
                self.samples.append(found)

    def _inject(self, tracking: contextlib.ExitStack) -> None:
        assert self.process is not None
        fault = self.rng.choice(FAULTS)
        self.injected[fault] += 1
        with contextlib.suppress(psutil.Error, OSError):
            getattr(self, f"_{fault}")(psutil.Process(self.process.pid), tracking)

    def _driver(self, driver: psutil.Process, _: contextlib.ExitStack) -> None:
        driver.kill()

    def _worker(self, driver: psutil.Process, _: contextlib.ExitStack) -> None:
        trained = {
            int(line.split()[0])
            for path in self.field.notes.iterdir()
            for line in path.read_text().splitlines()
        }
        alive = [p for p in driver.children(recursive=True) if p.pid in trained]
        if alive:
            self.rng.choice(alive).kill()

    def _mlflow(self, _: psutil.Process, tracking: contextlib.ExitStack) -> None:
        tracking.close()
        time.sleep(self.rng.uniform(0.0, 8.0))
        tracking.enter_context(server(self.field.folder, self.port))

    def _pause(self, driver: psutil.Process, _: contextlib.ExitStack) -> None:
        driver.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.1, 5.0))
        driver.send_signal(signal.SIGCONT)

    def _torn(self, driver: psutil.Process, _: contextlib.ExitStack) -> None:
        """Kill everything and cut the last line of a running trial, as a power cut does."""
        assert self.process is not None
        others = driver.children(recursive=True)
        for one in (driver, *others):
            with contextlib.suppress(psutil.Error):
                one.kill()
        self.process.wait()
        psutil.wait_procs(others, timeout=30)
        running = [e.number for e in self.field.entries("soak") if e.state == "RUNNING"]
        begun = [found[0] for n in running if (found := self.field.attempts("soak", n))]
        paths = [folder / "metrics.jsonl" for folder in begun]
        written = [path for path in paths if path.is_file() and path.stat().st_size > 100]
        if written:
            path = self.rng.choice(written)
            path.write_bytes(path.read_bytes()[: -self.rng.randint(1, 80)])


@pytest.mark.fault("F29")
def test_f29_a_soak_loses_nothing_and_grows_nowhere(
    field: Field, rng: random.Random, soak_seconds: float
) -> None:
    port = free_port()
    field.tracking_uri = f"http://127.0.0.1:{port}"
    with (field.folder / "drivers.log").open("w") as log:
        soak = Soak(field, rng, port, log, soak_seconds)
        soak.run()
    _print_table(soak)
    with server(field.folder, port):
        ended = field.run("resume", "soak", "--json")
        entries = check_whole(field, "soak", soak.trials, ended)
        failed = [e for e in entries if e.state != "COMPLETE"]
        assert failed == [], "no worker was killed three times in one trial"
        assert {len(runs) for runs in trial_runs(field, "soak").values()} == {1}
        check_points(field, "soak")
    assert sum(soak.injected.values()) >= soak_seconds / 60, "nearly nothing was injected"
    for driver in {s.driver for s in soak.samples}:
        _check_flat([s for s in soak.samples if s.driver == driver and s.ended > 0])


def _check_flat(samples: list[Sample]) -> None:
    """Raise if a driver that trains holds more and more; the first third is its beginning."""
    if len(samples) < 15:
        return
    third = len(samples) // 3
    first, last = samples[third : 2 * third], samples[2 * third :]
    grown = statistics.median(s.memory for s in last) - statistics.median(s.memory for s in first)
    more = statistics.median(s.descriptors for s in last)
    more -= statistics.median(s.descriptors for s in first)
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB"
    assert more < DESCRIPTORS, more


def _print_table(soak: Soak) -> None:
    print(f"\nfaults: {dict(soak.injected)}; exit codes of the drivers: {soak.codes}")
    print("second  driver  ended  memory (MiB)  descriptors")
    for sample in soak.samples[:: max(1, len(soak.samples) // 40)]:
        print(
            f"{sample.second:6.0f}  {sample.driver:6}  {sample.ended:5}  "
            f"{sample.memory / 2**20:12.0f}  {sample.descriptors:11}"
        )
