"""A folder in which separate driver processes run searches and are killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from tuner.ledger.ledger import Ledger
from tuner.ledger.records import TrialRecord
from tuner.ledger.storage import search_names
from tuner.methods import catalog
from tuner.orchestration.doctor import examine
from tuner.orchestration.locations import Locations
from tuner.orchestration.session import Session
from tuner.study.seeds import trial_seeds
from tuner.study.space import method_space
from tuner.training.attempts import attempts
from tuner.training.checkpoint import saved_checkpoints
from tuner.training.evaluations import Evaluation, read_evaluations

from .plugin import offer

ROOT = Path(__file__).parents[3]
TIMEOUT = 240.0


@dataclass
class Ended:
    """How a driver ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The result that it printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Field:
    """A folder with data; ledger, MLflow and files of trials are there unless told elsewhere."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    storage: str = ""
    tracking_uri: str = ""
    artifacts: Path | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.plugin = offer(self.folder / "plugin")
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        self.write_data()

    @property
    def data(self) -> Path:
        return self.folder / "blobs.npy"

    @property
    def locations(self) -> Locations:
        return Locations(
            storage=self.storage or f"sqlite:///{self.folder / 'tuner.db'}",
            tracking_uri=self.tracking_uri or f"sqlite:///{self.folder / 'mlflow.db'}",
            artifacts=self.artifacts or self.folder / "artifacts",
        )

    @property
    def session(self) -> Session:
        """A session for a search in this process."""
        from tuner.execution.cluster import Resources

        return Session(locations=self.locations, resources=Resources(), on_message=lambda _: None)

    def write_data(self, *, seed: int = 0) -> None:
        """Write three blobs of 100 points."""
        rng = np.random.default_rng(seed)
        centres = 6 * rng.normal(size=(3, 4))
        points = centres[rng.integers(3, size=300)] + rng.normal(size=(300, 4))
        np.save(self.data, points.astype(np.float32))

    @contextmanager
    def driver(
        self,
        *arguments: str,
        module: str = "tests.tuner.faults.driver",
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
    ) -> "Iterator[subprocess.Popen[str]]":
        """Run a driver; afterwards, kill it and all processes that it started."""
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        started: list[psutil.Process] = []
        try:
            yield process
            started = family(process.pid)
        finally:
            started += family(process.pid)
            for one in started:
                if one.is_running():
                    one.kill()
            process.communicate()

    def run(self, *arguments: str) -> Ended:
        """Run a driver to its end."""
        began = time.monotonic()
        with self.driver(*arguments) as process:
            out, err = process.communicate(timeout=TIMEOUT)
        return Ended(process.returncode, out, err, time.monotonic() - began)

    def exists(self, name: str) -> bool:
        """Return whether the ledger has a search."""
        return name in search_names(self.locations.storage)

    def entries(self, name: str) -> list[TrialRecord]:
        """Return the trials of a search in the ledger, none before it begins."""
        if not self.exists(name):
            return []
        with Ledger.load(self.locations.storage, name) as ledger:
            return ledger.trials()

    def evaluations(self, name: str, number: int) -> list[Evaluation]:
        """Return the evaluations in a trial's files."""
        return read_evaluations(self.trial_folder(name, number))

    def starts(self, number: int, *, seed: int = 0) -> list[tuple[int, int]]:
        """Return the processes that have trained an idle trial, and the pass each began at."""
        path = self.notes / str(trial_seeds(seed, number, 1)[0])
        lines = path.read_text().splitlines() if path.is_file() else []
        return [(int(pid), int(epoch)) for pid, epoch in (line.split() for line in lines)]

    def ended(self, name: str) -> int:
        """Return how many trials of a search have ended."""
        return sum(entry.ended is not None for entry in self.entries(name))

    def trial_folder(self, name: str, number: int) -> Path:
        """Return where a trial keeps its files."""
        return self.locations.artifacts / name / f"trial-{number:05d}"

    def epoch(self, name: str, number: int) -> int:
        """Return the last epoch of a trial."""
        return max((e.epoch for e in self.evaluations(name, number)), default=0)

    def checkpoints(self, name: str, number: int) -> list[int]:
        """Return the passes at which a trial has checkpoints, newest first."""
        return [
            int(path.name.split("-")[1])
            for attempt in self.attempts(name, number)
            for path in saved_checkpoints(attempt / "checkpoints")
        ]

    def attempts(self, name: str, number: int) -> list[Any]:
        """Return the folders of all attempts at a trial, newest first."""
        return list(attempts(self.trial_folder(name, number)))

    def attempt(self, name: str, number: int) -> Any:
        """Return the folder of the newest attempt at a trial."""
        return self.attempts(name, number)[0]

    def written(self) -> dict[str, Any]:
        """Return everything that a search may have written: rows of databases and files."""
        found: dict[str, Any] = {}
        for database in (self.folder / "tuner.db", self.folder / "mlflow.db"):
            with closing(sqlite3.connect(database)) as connection:
                found[database.name] = sorted(connection.iterdump())
        files = sorted(p for p in self.locations.artifacts.rglob("*") if p.is_file())
        return found | {str(path): path.read_bytes() for path in files}

    def wrong(self, name: str) -> list[str]:
        """Return the invariants that a search violates."""
        return [f"{f.invariant}: {f.wrong}" for f in examine(name, self.locations) if not f.ok]

    def _environment(self) -> dict[str, str]:
        own = {
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(self.plugin), os.environ.get("PYTHONPATH", "")]
            ),
            "TUNER_STORAGE": self.locations.storage,
            "MLFLOW_TRACKING_URI": self.locations.tracking_uri,
            "TUNER_ARTIFACTS": str(self.locations.artifacts),
            "IDLE_NOTES": str(self.notes),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return {**os.environ, **own, **self.settings}


def wait_until(condition: Callable[[], Any], *, seconds: float = TIMEOUT) -> Any:
    """Return what `condition` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.1)
    return found


def forget_methods() -> None:
    """Make the catalog look for methods again, as a new process does."""
    for cached in (catalog.names, catalog.method, method_space, catalog._plugins):
        cached.cache_clear()
    sys.modules.pop("idle_method", None)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    try:
        one = psutil.Process(pid)
        return [one, *one.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def halt(pid: int, signum: int) -> None:
    """Send a signal as a terminal does: Ctrl-C reaches the process group, `kill` the driver."""
    if signum == signal.SIGINT:
        os.killpg(pid, signum)
    else:
        os.kill(pid, signum)
