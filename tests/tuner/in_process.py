"""A whole search without Ray: a cluster that is this process, and data that train at once."""

import atexit
import functools
import shutil
import signal
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.orchestration.locations import Place
from tuner.study.result import Result
from tuner.study.study import Study
from tuner.training.finalist import Finalist, fit_finalist
from tuner.training.trial import Trial, material


@dataclass(frozen=True, kw_only=True)
class Resources:
    address: str | None = None
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None


class Cluster:
    """What a search asks of a cluster, done here, one trial after the other."""

    device, nodes, workers = "cpu", 1, 1
    interrupted_after: int | None = None  # trials

    def __init__(self, resources: Any) -> None:
        self.resources = resources

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def check_machines(self, folder: Any) -> None:
        """Do nothing: one machine sees its own folder."""

    def send(self, dataset: Any, graph: Any) -> None:
        self.dataset, self.graph = dataset, graph

    def run(self, conductor: Any) -> None:
        shared, done = material(self.dataset, self.graph), 0
        while conductor.closing is None and (job := conductor.next_job()) is not None:
            trial, stop = Trial(job, shared), False
            while not (trial.finished or stop):
                evaluation = trial.advance()
                stop = conductor.evaluated(job.number, evaluation)
            conductor.finished(job.number, pruned=not trial.finished)
            done += 1
            if done == self.interrupted_after:
                signal.raise_signal(signal.SIGINT)

    def finalists(self, jobs: Any, test_graph: Any, *, labels_used: bool) -> Iterator[Finalist]:
        for rank, job in jobs.items():
            yield fit_finalist(
                job, rank, self.dataset, self.graph, test_graph, labels_used=labels_used
            )


@contextmanager
def no_ray(*, interrupted_after: int | None = None) -> Iterator[None]:
    """Let searches find this cluster where Ray's would be; Ctrl-C comes after some trials."""
    stand_in = types.ModuleType("tuner.execution.cluster")
    own = type("Cluster", (Cluster,), {"interrupted_after": interrupted_after})
    vars(stand_in).update(Cluster=own, Resources=Resources)
    before = sys.modules.get("tuner.execution.cluster")
    sys.modules["tuner.execution.cluster"] = stand_in
    try:
        yield
    finally:
        del sys.modules["tuner.execution.cluster"]
        if before is not None:
            sys.modules["tuner.execution.cluster"] = before


def blobs(path: Path, *, n: int = 200) -> Path:
    """Write three well separated blobs of n points with their labels as an .npz."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    x = 10 * np.eye(3, 4)[y] + rng.normal(size=(n, 4))
    np.savez(path, x=x, y=y)
    return path


@dataclass(frozen=True)
class Concluded:
    """A search that has ended, all of it in one folder."""

    folder: Path
    place: Place
    result: Result

    @property
    def flags(self) -> list[str]:
        """What the command line is told to find it."""
        return ["--storage", self.place.storage, "--tracking-uri", self.place.tracking_uri]

    @property
    def model(self) -> Path:
        """The folder of a model of kmeans."""
        return self.place.artifacts / self.result.search / "finalist-0" / "replica-0"

    @property
    def other_model(self) -> Path:
        """The folder of a model of gmm, which draws new points."""
        return self.place.artifacts / self.result.search / "finalist-1" / "replica-0"


@functools.cache
def concluded() -> Concluded:
    """Return a small search named `done`, made once per process; leave it as it is."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return conclude(folder, name="done")


def conclude(folder: Path, *, name: str) -> Concluded:
    """Run a small search in a folder."""
    from tuner.orchestration.search import Session, search

    place = Place(
        storage=f"sqlite:///{folder / 'tuner.db'}",
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "artifacts",
    )
    study = Study(
        methods=("kmeans", "gmm"),
        dataset=str(blobs(folder / "blobs.npz")),
        trials=5,
        replicas=2,
        finalists=2,
        finalist_seeds=2,
        sampler="random",
        fixed={"n_components": 3},
        name=name,
    )
    session = Session(place=place, resources=Resources(), say=lambda _: None)  # type: ignore
    with no_ray():
        return Concluded(folder, place, search(study, session))
