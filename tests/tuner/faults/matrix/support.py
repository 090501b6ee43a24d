"""Searches of the fault matrix, and what must hold after each of them."""

import random
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from tuner.ledger.records import TrialRecord
from tuner.study.seeds import trial_seeds

from ..locations import Ended, Field, wait_until

IDLE = ("-m", "idle", "--replicas", "1")


def begin(field: Field, name: str, *arguments: str) -> tuple[str, ...]:
    """Return the words that begin a search."""
    return ("search", "-d", str(field.data), "--name", name, "--json", *arguments)


def idle(
    trials: int,
    *,
    workers: int = 2,
    epochs: int = 5,
    pause: float = 0.0,
    scheduler: str = "none",
    sampler: str = "tpe",
) -> tuple[str, ...]:
    """Return the words of a search of idle trials, each of which takes `epochs` times `pause`."""
    return (
        *IDLE,
        *("--trials", str(trials), "--workers", str(workers)),
        *("--scheduler", scheduler, "--sampler", sampler),
        *("--set", f"epochs={epochs}", "--set", f"pause={pause}"),
    )


def kinds(seed: int, faults: str, trials: int) -> list[str]:
    """Return which of several faults each trial of a search with a seed has."""
    names = faults.split("/")
    return [names[trial_seeds(seed, n, 1)[0] % len(names)] for n in range(trials)]


def calm_seed(rng: random.Random, faults: str, trials: int) -> int:
    """Return a seed with which every fault occurs, no three of them in a row, and half none."""
    while True:
        seed = rng.randrange(10**6)
        found = kinds(seed, faults, trials)
        runs = "".join("." if kind == "none" else "x" for kind in found)
        few = "xxx" not in runs and runs[0] == "." and runs.count("x") <= trials // 2
        if few and set(found) == set(faults.split("/")):
            return seed


def outcomes(entries: list[TrialRecord]) -> list[tuple[Any, ...]]:
    """Return the parts of records that no fault may change."""
    return [
        (e.number, e.state, dict(e.params), e.value, dict(e.intermediate_values)) for e in entries
    ]


def reach(field: Field, name: str, ended: int, *, driver: Any = None) -> None:
    """Wait until so many trials of a search have ended, or fail if its driver ends before."""

    def reached() -> bool:
        assert driver is None or driver.poll() is None, driver.communicate()
        # only once training has begun: until then the driver may be creating the tables
        return any(field.notes.iterdir()) and field.ended(name) >= ended

    wait_until(reached)


def check_whole(field: Field, name: str, trials: int, ended: Ended) -> list[TrialRecord]:
    """Raise unless a search has ended with exactly its trials and the doctor is content."""
    assert ended.code == 0, ended.err
    entries = field.entries(name)
    raised = any("Traceback" in str(e.outcome.get("detail", "")) for e in entries)
    assert ended.err.count("Traceback") <= raised, ended.err
    assert [e.number for e in entries] == list(range(trials))
    assert {e.state for e in entries} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert ended.result["trials"]["total"] == trials
    assert field.wrong(name) == []
    return entries


def trial_runs(field: Field, name: str) -> dict[int, list[Run]]:
    """Return MLflow's runs of each trial of a search."""
    client = MlflowClient(field.locations.tracking_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    words = f"tags.`tuner.search` = '{name}' and tags.`tuner.role` = 'trial'"
    found: dict[int, list[Run]] = {}
    for run in client.search_runs(experiments, words, max_results=1000):
        found.setdefault(int(run.data.tags["tuner.number"]), []).append(run)
    return found


def check_points(field: Field, name: str) -> None:
    """Raise unless MLflow has one run of every trial, and every point of it once."""
    client = MlflowClient(field.locations.tracking_uri)
    runs = trial_runs(field, name)
    for entry in field.entries(name):
        (run,) = runs[entry.number]
        evaluations = field.evaluations(name, entry.number)
        written = {e.epoch: e.metrics["train/loss"] for e in evaluations if e.metrics}
        stored = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in sorted(stored, key=lambda m: m.step)] == sorted(
            written.items()
        ), f"trial {entry.number}"


def moments(rng: random.Random, count: int, low: int, high: int) -> list[int]:
    """Return different numbers between two, in order."""
    return sorted(rng.sample(range(low, high), count))
