"""A Ray cluster, connected to or started here, on which Tune runs the controller's trials.

Tune's own snapshots, loggers and tables are off, since the ledger is the source of truth. Workers
keep their process between trials, so that modules are imported once.
"""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast, final

# read by Ray at import: no usage report, no snapshots, no loggers, no signal handlers
os.environ.update(
    {
        "RAY_USAGE_STATS_ENABLED": os.environ.get("RAY_USAGE_STATS_ENABLED", "0"),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
)

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError

from ..errors import ResourceError, ServiceError, UsageError
from ..training.finalist import Finalist
from ..training.trial_inputs import TrialSpec
from .adapters import (
    ControllerScheduler,
    ControllerSearcher,
    ControllerStopper,
    SilentReporter,
    every_loss_retried,
)
from .connection import connecting
from .nodes import alive_nodes, check_nodes, machine_resources
from .tasks import MAX_RETRIES, beside_trials, finished, quiet
from .threads import StartThread
from .trial_controller import TrialController
from .watch import CapacityWatch, HeadWatch
from .worker import Limits, TrialTrainable, make_cloud_test, make_graph, train_finalist

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation.graph import NeighbourGraph
    from ..evaluation.structureless import CloudTest
    from ..training.places import Place

_MAX_IDLE_RUNS = 5
_GPU_SHARE = 0.25
"""GPUs per trial by default. Four processes on one GPU train by turns, at a quarter of the pace
each, which costs no throughput. While one is scored or saved, the others have the GPU.
"""
_WAIT_SECONDS = 5.0
_RESOURCE_SECONDS = 60.0  # to wait until the cluster offers what a trial needs


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where trials run and what each may use; trials share a GPU when given a fraction of it.

    A trial that takes longer than `trial_timeout` seconds is ended.
    """

    address: str | None = field(default_factory=lambda: os.environ.get("RAY_ADDRESS") or None)
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    trial_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.address == "local":  # Ray's name for a new cluster on this machine
            object.__setattr__(self, "address", None)
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: give a whole number of at least 1")
        if self.cpus_per_trial <= 0:
            raise UsageError(f"--cpus-per-trial {self.cpus_per_trial:g}: give a number above 0")
        gpus = self.gpus_per_trial
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise UsageError(
                f"--gpus-per-trial {gpus:g}: give a fraction up to 1, or a whole number of GPUs"
            )


@final
class Cluster:
    """A Ray cluster, connected to or started here, which receives the data of trials once."""

    def __init__(
        self, resources: Resources, *, on_message: Callable[[str], Any] = lambda _: None
    ) -> None:
        self.resources = resources
        self._on_message = on_message
        self._is_started = False
        self._head_watch: HeadWatch | None = None
        self._search = ""
        self.gpus_per_trial = 0.0
        self.workers = 1

    def __enter__(self) -> "Cluster":
        try:
            if not ray.is_initialized():
                self._start()
            self._head_watch = HeadWatch(ray.get_runtime_context().gcs_address).start()
            self._take_resources()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def device(self) -> str:
        """The device that trials train on."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    @property
    def nodes(self) -> int:
        """Number of machines in the cluster."""
        return len(alive_nodes())

    def check_machines(self, folder: "Place") -> None:
        """Raise unless every machine sees the folder of trial files and can run a trial."""
        if self.nodes > 1:
            check_nodes(folder)

    def put_data(self, dataset: "Dataset", *, objective: str) -> None:
        """Put the data that all trials share into the object store, and begin to make the graph.

        It is made while workers start, and trials wait for it.
        """
        self._dataset = ray.put(dataset)
        self._graph = beside_trials(make_graph).remote(self._dataset, objective)

    def begin_cloud_test(self) -> "Callable[[], CloudTest]":
        """Begin the test for clusters beside other work; return what waits for its result."""
        test = beside_trials(make_cloud_test).remote(self._dataset)
        return lambda: cast("CloudTest", ray.get(test))

    def run(self, controller: TrialController) -> None:
        """Run trials until the controller has none left or closes the search."""
        idle_runs, detail = 0, ""
        self._watch_head(controller.search)
        while controller.close_reason is None and (remaining := controller.remaining()) > 0:
            try:
                self._fit(controller)
            except (RayError, TuneError, EOFError) as error:
                self._check_alive(error)
                detail = f"{type(error).__name__}: {error}"
            if controller.close_reason is None:
                controller.requeue(detail)
            idle_runs = 0 if controller.remaining() < remaining else idle_runs + 1
            if idle_runs == _MAX_IDLE_RUNS:
                raise ServiceError(
                    f"no trial ended in {idle_runs} runs on the Ray cluster: check `ray status`, "
                    f"then continue with `tuner resume {controller.search}` (last error: "
                    f"{detail or 'none'})"
                )

    def _watch_head(self, search: str) -> None:
        self._search = search
        if self._head_watch is not None:
            self._head_watch.search = search

    def in_use(self) -> dict[str, tuple[float, float]]:
        """Return what is in use and in all of a cluster of several machines, by kind."""
        if not ray.is_initialized() or self.nodes < 2:  # asking would start a Ray of its own
            return {}
        total, free = ray.cluster_resources(), ray.available_resources()
        return {k: (total[k] - free.get(k, 0.0), total[k]) for k in ("CPU", "GPU") if k in total}

    def train_finalists(
        self,
        specs: dict[int, TrialSpec],
        test_graph: "NeighbourGraph",
        *,
        labels_used: bool,
        on_wait: Callable[[], Any] = lambda: None,
    ) -> Iterator[Finalist]:
        """Train finalists, given by rank, and yield each one as soon as it is done.

        `on_wait` is called every few seconds until then.
        """
        task = ray.remote(train_finalist).options(
            num_cpus=self.resources.cpus_per_trial,
            num_gpus=self.gpus_per_trial,
            max_retries=MAX_RETRIES,
        )
        data = (self._dataset, self._graph, ray.put(test_graph))
        running = {
            task.remote(self._limits, spec, rank, *data, labels_used=labels_used): (spec, rank)
            for rank, spec in specs.items()
        }
        while running:
            on_wait()
            ready, _ = ray.wait(list(running), timeout=_WAIT_SECONDS)
            for reference in ready:
                yield finished(reference, *running.pop(reference))
            self._capacity.check(self._search)

    def _fit(self, controller: TrialController) -> None:
        """Run a new Tune experiment for the trials that have not ended."""
        trainable = tune.with_parameters(
            TrialTrainable,
            dataset=self._dataset,
            graph=self._graph,
            limits=self._limits,
        )
        scratch = tempfile.TemporaryDirectory(prefix="tuner-")
        with scratch as folder, quiet(), every_loss_retried():
            tune.Tuner(
                tune.with_resources(trainable, {k: v for k, v in self._needs.items() if v}),
                tune_config=tune.TuneConfig(
                    search_alg=ControllerSearcher(controller),
                    scheduler=ControllerScheduler(controller),
                    num_samples=-1,
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    stop=ControllerStopper(controller, self._capacity),
                    progress_reporter=SilentReporter(),
                    verbose=0,
                ),
            ).fit()

    def _start(self) -> None:
        # Ray starts in an empty folder: workers put the driver's folder first on sys.path, and
        # would import a user's own tuner/ from it. Workers stay in that folder, so it is deleted
        # only after the cluster has stopped.
        self._working_folder = tempfile.TemporaryDirectory(prefix="tuner-")
        self._is_started = True  # an interrupt may leave a part of it running
        with contextlib.chdir(self._working_folder.name), quiet():
            try:
                self._connect()
            except ServiceError:
                if self.resources.address is not None:
                    raise
                ray.shutdown()  # under load, parts of Ray wait for each other in vain
                self._connect()
        # a machine that dies would fill the terminal with its log
        ray._private.worker._worker_logs_enabled = False

    def _stop(self) -> None:
        watched = (
            contextlib.nullcontext() if self._head_watch is None else self._head_watch.ending()
        )
        with watched:
            if self._is_started:
                ray.shutdown()
                self._working_folder.cleanup()

    def _connect(self) -> None:
        address = self.resources.address
        with connecting(address):
            starting = StartThread(
                lambda: ray.init(
                    address=address or "local",
                    num_cpus=None if address else self._local_cpus(),
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                )
            )
            starting.start()

    def _take_resources(self) -> None:
        total = ray.cluster_resources()
        gpus = self.resources.gpus_per_trial
        self.gpus_per_trial = (_GPU_SHARE if total.get("GPU") else 0.0) if gpus is None else gpus
        self._check_resources(total)
        self.workers = self.resources.workers or self._slots(total)
        self._capacity = CapacityWatch(machine_resources, self._needs, self._on_message)

    def _local_cpus(self) -> int | None:
        """Return enough CPUs for the requested workers, which may have to share cores."""
        if self.resources.workers is None:
            return None
        needed = self.resources.workers * self.resources.cpus_per_trial
        return max(os.cpu_count() or 1, int(-(-needed // 1)))

    @property
    def _limits(self) -> Limits:
        return Limits(gpu_share=self.gpus_per_trial, seconds=self.resources.trial_timeout)

    @property
    def _needs(self) -> dict[str, float]:
        return {"CPU": self.resources.cpus_per_trial, "GPU": self.gpus_per_trial}

    def _slots(self, total: dict[str, float]) -> int:
        slots = total.get("CPU", 1) / self.resources.cpus_per_trial
        if self.gpus_per_trial > 0:
            slots = min(slots, total["GPU"] / self.gpus_per_trial)
        return max(1, int(slots))

    def _check_resources(self, total: dict[str, float]) -> None:
        """Raise unless the cluster offers what a trial needs, now or within some seconds."""
        deadline = time.monotonic() + (_RESOURCE_SECONDS if self.resources.address else 0.0)
        while missing := [k for k, need in self._needs.items() if total.get(k, 0) < need]:
            if time.monotonic() > deadline:
                kind = missing[0]
                raise ResourceError(
                    f"a trial needs {self._needs[kind]:g} {kind} but the cluster has "
                    f"{total.get(kind, 0):g}: lower --{kind.lower()}s-per-trial or add a machine"
                )
            time.sleep(1.0)
            total = ray.cluster_resources()

    def _check_alive(self, error: Exception) -> None:
        """Raise if the error means that the whole cluster is lost, not just one trial."""
        try:
            ray.cluster_resources()
        except Exception:
            raise ServiceError(
                f"the connection to the Ray cluster was lost ({type(error).__name__}): start a "
                "cluster and resume the search"
            ) from None
