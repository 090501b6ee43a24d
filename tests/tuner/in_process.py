"""Whole searches without Ray: a cluster that runs trials in this process, and small data."""

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

from tuner.evaluation.structureless import cloud_test, scored_graph
from tuner.orchestration.locations import Locations
from tuner.orchestration.result import Result
from tuner.study.study import Study
from tuner.training.attempts import attempts
from tuner.training.finalist import Finalist, fit_finalist
from tuner.training.trial import Trial
from tuner.training.trial_inputs import trial_data


@dataclass(frozen=True, kw_only=True)
class Resources:
    address: str | None = None
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    trial_timeout: float | None = None


class Cluster:
    """Stands in for the Ray cluster: runs one trial after the other in this process."""

    device, nodes, workers = "cpu", 1, 1
    interrupted_after: int | None = None  # trials

    def __init__(self, resources: Any, **_: Any) -> None:
        self.resources = resources

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def check_machines(self, folder: Any) -> None:
        """Do nothing: one machine sees its own folder."""

    def put_data(self, dataset: Any, *, objective: str) -> None:
        self.dataset = dataset
        self.graph = scored_graph(
            dataset.train, fingerprint=dataset.fingerprint, objective=objective
        )

    def begin_cloud_test(self) -> Any:
        data = self.dataset
        return functools.partial(cloud_test, data.train, fingerprint=data.fingerprint)

    def in_use(self) -> dict[str, tuple[float, float]]:
        return {}

    def run(self, controller: Any) -> None:
        shared, done = trial_data(self.dataset, self.graph), 0
        while controller.close_reason is None and (spec := controller.next_trial()) is not None:
            trial, stop = Trial(spec, shared), False
            while not (trial.finished or stop):
                evaluation = trial.advance()
                stop = controller.on_evaluation(spec.number, evaluation)
            controller.on_end(spec.number, pruned=not trial.finished)
            done += 1
            if done == self.interrupted_after:
                signal.raise_signal(signal.SIGINT)

    def train_finalists(
        self, specs: Any, test_graph: Any, *, labels_used: bool, on_wait: Any
    ) -> Iterator[Finalist]:
        for rank, spec in specs.items():
            on_wait()
            yield fit_finalist(
                spec, rank, self.dataset, self.graph, test_graph, labels_used=labels_used
            )


@contextmanager
def no_ray(*, interrupted_after: int | None = None) -> Iterator[None]:
    """Replace the Ray cluster of searches; interrupt them after some trials if given."""
    stand_in = types.ModuleType("tuner.execution.cluster")
    cluster_type = type("Cluster", (Cluster,), {"interrupted_after": interrupted_after})
    vars(stand_in).update(Cluster=cluster_type, Resources=Resources)
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
class FinishedSearch:
    """A search that has ended, with everything in one folder."""

    folder: Path
    locations: Locations
    result: Result

    @property
    def flags(self) -> list[str]:
        """The command line's flags that lead to it."""
        return ["--storage", self.locations.storage, "--tracking-uri", self.locations.tracking_uri]

    @property
    def model(self) -> Path:
        """The folder of a model of kmeans."""
        return self._model("finalist-0")

    @property
    def other_model(self) -> Path:
        """The folder of a model of gmm, which can sample."""
        return self._model("finalist-1")

    def _model(self, finalist: str) -> Any:
        (attempt,) = attempts(self.locations.artifacts / self.result.search / finalist)
        return attempt / "replica-0"


@functools.cache
def finished_search() -> FinishedSearch:
    """Return a small search named `done`, run once per process; do not change it."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return run_search(folder, name="done")


def run_search(folder: Path, *, name: str) -> FinishedSearch:
    """Run a small search in a folder."""
    from tuner.orchestration.search import search
    from tuner.orchestration.session import Session

    locations = Locations(
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
    session = Session(locations=locations, resources=Resources(), on_message=lambda _: None)  # type: ignore
    with no_ray():
        return FinishedSearch(folder, locations, search(study, session))
