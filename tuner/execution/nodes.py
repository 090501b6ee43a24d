"""The machines of a Ray cluster: which are alive, and whether each of them can run trials."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..training.places import Place, probe_file
from .connection import Probe, machine_error, probe_machine

_PROBE_SECONDS = 60.0
_DEATH_SECONDS = 40.0  # until Ray notices that a machine has died
_DEAD_NODE_ERRORS = (NodeDiedError, TaskUnschedulableError, WorkerCrashedError)


def alive_nodes() -> list[dict[str, Any]]:
    """Return Ray's description of every machine that it considers alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def machine_resources() -> list[Mapping[str, float]]:
    """Return what each machine that Ray considers alive has, by kind."""
    return [node["Resources"] for node in alive_nodes()]


def check_nodes(folder: Place) -> None:
    """Raise unless every machine can use the place of trial files and can run a trial.

    Machines that have just died are skipped; Ray still lists them for a while.
    """
    with _probed(folder) as where:
        addresses = {str(n["NodeID"]): str(n["NodeManagerAddress"]) for n in alive_nodes()}
        probes = {node: _start_probe(node, where) for node in addresses}
        for node, probe in probes.items():
            result = _probe_result(node, probe)
            error = None if result is None else machine_error(addresses[node], result, folder)
            if error is not None:
                raise error


@contextmanager
def _probed(folder: Place) -> Iterator[str]:
    """Yield what machines look at: a file in a folder, or a folder in a store itself."""
    if isinstance(folder, Path):
        with probe_file(folder) as file:
            yield file.name
    else:
        yield str(folder)


def _start_probe(node: str, where: str) -> Any:
    task = ray.remote(probe_machine).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    return task.remote(where)


def _probe_result(node: str, probe: Any) -> Probe | Exception | None:
    """Return what a probe returned or raised, None if its machine has died."""
    result: Probe | Exception
    try:
        result = ray.get(probe, timeout=_PROBE_SECONDS)
    except RayError as error:
        if isinstance(error, _DEAD_NODE_ERRORS) and _has_died(node):
            return None
        result = error
    return result


def _has_died(node: str) -> bool:
    """Return whether Ray declares an unreachable machine dead within some seconds."""
    deadline = time.monotonic() + _DEATH_SECONDS
    while node in {str(alive["NodeID"]) for alive in alive_nodes()}:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
