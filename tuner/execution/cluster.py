"""A Ray cluster, joined or started, on which Tune executes what the conductor hands out.

Tune keeps no record here: its own snapshots, loggers and tables are off, since the ledger decides.
Workers keep their process between trials, so a trial pays for no import.
"""

import contextlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

# read by Ray at import: no usage report, no snapshot, no logger, no signal handler of its own
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
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError, WorkerCrashedError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ResourceError, ServiceError, UsageError
from ..training.finalist import Finalist
from ..training.trial_inputs import TrialSpec
from .adapters import ControllerScheduler, ControllerSearcher, ControllerStopper
from .address import connecting, machine_fault, probe_machine
from .trial_controller import TrialController
from .worker import TrialTrainable, finalist

if TYPE_CHECKING:
    from ..data import Dataset
    from ..evaluation.objective import NeighbourGraph

_MOST_RETRIES = 2
_MOST_IDLE_RUNS = 5
_WAIT_SECONDS = 60.0
_LEAVING_SECONDS = 40.0  # in which Ray notices that a machine is gone
_GONE = (NodeDiedError, TaskUnschedulableError, WorkerCrashedError)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where trials run and what each may use; GPUs in fractions share one between trials."""

    address: str | None = field(default_factory=lambda: os.environ.get("RAY_ADDRESS") or None)
    workers: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        if self.address == "local":  # Ray's word for a cluster of one's own
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
    """A Ray cluster that is joined or started here, with what trials need sent to it once."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._started = False
        self.gpus_per_trial = 0.0
        self.workers = 1

    def __enter__(self) -> "Cluster":
        if not ray.is_initialized():
            self._start()
        total = ray.cluster_resources()
        gpus = self.resources.gpus_per_trial
        self.gpus_per_trial = (0.25 if total.get("GPU") else 0.0) if gpus is None else gpus
        self._check(total)
        self.workers = self.resources.workers or self._slots(total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            ray.shutdown()
            self._empty.cleanup()

    @property
    def device(self) -> str:
        """The device that trials train on."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    @property
    def nodes(self) -> int:
        """Machines in the cluster."""
        return len(_alive())

    def check_machines(self, folder: Path) -> None:
        """Raise unless every machine sees the folder of the trials' files and can run a trial.

        Machines that have just gone are listed for a while yet: they need not answer.
        """
        if self.nodes < 2:
            return
        task = ray.remote(probe_machine)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".seen-") as file:
            machines = {str(n["NodeID"]): str(n["NodeManagerAddress"]) for n in _alive()}
            asked = {
                node: task.options(
                    num_cpus=0,
                    max_retries=0,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
                ).remote(file.name)
                for node in machines
            }
            for node, answer in asked.items():
                seen: tuple[bool, str] | Exception
                try:
                    seen = ray.get(answer, timeout=_WAIT_SECONDS)
                except RayError as error:
                    if isinstance(error, _GONE) and _leaves(node):
                        continue
                    seen = error
                if (wrong := machine_fault(machines[node], seen, folder)) is not None:
                    raise wrong

    def send(self, dataset: "Dataset", graph: "NeighbourGraph") -> None:
        """Put into the object store what every trial learns from and is judged by."""
        self._dataset, self._graph = ray.put(dataset), ray.put(graph)

    def run(self, controller: TrialController) -> None:
        """Execute trials until the conductor has no more, or closes the search."""
        idle, detail = 0, ""
        while controller.closing is None and (missing := controller.remaining()) > 0:
            try:
                self._fit(controller)
            except (RayError, TuneError, EOFError) as error:
                self._check_alive(error)
                detail = f"{type(error).__name__}: {error}"
            if controller.closing is None:
                controller.requeue(detail)
            idle = 0 if controller.remaining() < missing else idle + 1
            if idle == _MOST_IDLE_RUNS:
                raise ServiceError(
                    f"the Ray cluster ran {idle} times without a result: see `ray status`, then "
                    f"go on with `tuner resume {controller.search}`; it says: {detail}"
                )

    def finalists(
        self, specs: dict[int, TrialSpec], test_graph: "NeighbourGraph", *, labels_used: bool
    ) -> Iterator[Finalist]:
        """Train finalists, by rank, and yield each as it is done."""
        task = ray.remote(finalist).options(
            num_cpus=self.resources.cpus_per_trial,
            num_gpus=self.gpus_per_trial,
            max_retries=_MOST_RETRIES,
        )
        sent = ray.put(test_graph)
        waiting = [
            task.remote(
                self.gpus_per_trial,
                spec,
                rank,
                self._dataset,
                self._graph,
                sent,
                labels_used=labels_used,
            )
            for rank, spec in specs.items()
        ]
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)

    def _fit(self, controller: TrialController) -> None:
        """Run a fresh Tune experiment for the numbers that are missing."""
        needs = {"CPU": self.resources.cpus_per_trial, "GPU": self.gpus_per_trial}
        trainable = tune.with_parameters(
            TrialTrainable, dataset=self._dataset, graph=self._graph, gpu_share=self.gpus_per_trial
        )
        with tempfile.TemporaryDirectory(prefix="tuner-") as scratch, _quiet():
            tune.Tuner(
                tune.with_resources(trainable, {k: v for k, v in needs.items() if v}),
                tune_config=tune.TuneConfig(
                    search_alg=ControllerSearcher(controller),
                    scheduler=ControllerScheduler(controller),
                    num_samples=controller.remaining(),
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=scratch,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=_MOST_RETRIES),
                    stop=ControllerStopper(controller),
                    verbose=0,
                ),
            ).fit()

    def _start(self) -> None:
        address = self.resources.address
        # a worker puts the driver's folder first on sys.path, where a user's own tuner/ may be;
        # it also stays in it, so the folder lives as long as the cluster is used
        self._empty = tempfile.TemporaryDirectory(prefix="tuner-")
        with contextlib.chdir(self._empty.name), _quiet(), connecting(address):
            ray.init(
                address=address or "local",
                num_cpus=None if address else self._local_cpus(),
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        # a node that dies would fill the terminal with its log
        ray._private.worker._worker_logs_enabled = False
        self._started = True

    def _local_cpus(self) -> int | None:
        """More workers than cores share the cores: the user asked for it."""
        if self.resources.workers is None:
            return None
        needed = self.resources.workers * self.resources.cpus_per_trial
        return max(os.cpu_count() or 1, int(-(-needed // 1)))

    def _slots(self, total: dict[str, float]) -> int:
        slots = total.get("CPU", 1) / self.resources.cpus_per_trial
        if self.gpus_per_trial > 0:
            slots = min(slots, total["GPU"] / self.gpus_per_trial)
        return max(1, int(slots))

    def _check(self, total: dict[str, float]) -> None:
        deadline = time.monotonic() + (_WAIT_SECONDS if self.resources.address else 0.0)
        needs = {"CPU": self.resources.cpus_per_trial, "GPU": self.gpus_per_trial}
        while True:
            short = [kind for kind, need in needs.items() if total.get(kind, 0) < need]
            if not short:
                return
            if time.monotonic() > deadline:
                kind = short[0]
                raise ResourceError(
                    f"a trial needs {needs[kind]:g} {kind} and the cluster has "
                    f"{total.get(kind, 0):g}: ask for less with "
                    f"--{kind.lower()}s-per-trial, or add a machine"
                )
            time.sleep(1.0)
            total = ray.cluster_resources()

    def _check_alive(self, error: Exception) -> None:
        """Raise when the cluster itself is gone; one trial's misfortune is not that."""
        try:
            ray.cluster_resources()
        except Exception:
            raise ServiceError(
                f"the Ray cluster went away ({type(error).__name__}): start one and resume"
            ) from None


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _leaves(node: str) -> bool:
    """Return whether a machine that cannot be reached turns out to be gone."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    while node in {str(each["NodeID"]) for each in _alive()}:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's and Tune's own talk off the terminal."""
    names = ("ray", "ray.tune", "ray.train", "ray.data")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
