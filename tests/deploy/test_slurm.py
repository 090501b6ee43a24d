"""A search as a Slurm job on two nodes, stopped ahead of its time limit and requeued."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.tuner.faults.locations import ROOT, Field
from tests.tuner.two_nodes import Postgres, postgres, tracking

from .slurm import Slurm, slurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
_SCRIPT = ROOT / "deploy/slurm/tuner.sbatch"
_SEARCH = ("-m", "idle", "--replicas", "1", "--scheduler", "none", "--set", "epochs=5")


@dataclass
class Site:
    """A Slurm, a database, an MLflow server and a folder that all nodes share."""

    slurm: Slurm
    database: Postgres
    field: Field
    settings: dict[str, str]

    def submit(self, name: str, trials: int, *options: str, pause: float = 0.4) -> str:
        """Submit a search as a job of two nodes with a CPU each for trials; return its number."""
        words = ["sbatch", "--parsable", "--nodes=2", "--cpus-per-task=1", *options]
        words += [str(_SCRIPT), name, "--workers", "2", "--", *_SEARCH]
        words += ["-d", str(self.field.data), "--trials", str(trials), "--set", f"pause={pause}"]
        return self.slurm.call(*words, cwd=self.field.folder, **self.settings).strip()

    def log(self, job: str) -> str:
        return (self.field.folder / f"tuner-{job}.log").read_text()

    def complete(self, name: str) -> int:
        query = (
            "select count(*) from trials join studies using (study_id) where state = 'COMPLETE'"
        )
        where = self.database.url("tuner").replace("+psycopg", "")
        try:
            with psycopg.connect(where) as there:
                row = there.execute(f"{query} and study_name = %s", [name]).fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
        return 0 if row is None else int(row[0])

    def check(self, name: str, size: int) -> None:
        """Raise unless a search has exactly its trials and the doctor finds nothing."""
        assert self.complete(name) == size
        done = subprocess.run(
            [sys.executable, "-m", "tuner", "doctor", name],
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("slurm")
    field = Field(folder)
    with (
        slurm() as own,
        postgres() as database,
        tracking(folder, database.url("mlflow")) as uri,
    ):
        settings = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{field.plugin}",
            "TUNER_STORAGE": database.url("tuner"),
            "TUNER_ARTIFACTS": str(folder / "artifacts"),
            "MLFLOW_TRACKING_URI": uri,
            "OMP_NUM_THREADS": "1",
        }
        yield Site(own, database, field, settings)


def wait_for(site: Site, job: str, condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert site.slurm.job(job)["JobState"] in ("PENDING", "RUNNING"), site.log(job)
        assert time.monotonic() < deadline, site.log(job)
        time.sleep(0.2)


@pytest.mark.fault("a Slurm job sent SIGTERM and requeued")
def test_a_job_that_is_terminated_goes_on_to_exactly_its_trials(
    site: Site, fault_seed: int
) -> None:
    moment, began = random.Random(fault_seed).randrange(2, 9), time.monotonic()
    job = site.submit("stopped", 16)
    wait_for(site, job, lambda: site.complete("stopped") >= moment)
    token = site.field.folder / f".tuner-{job}/token"
    assert token.stat().st_mode & 0o777 == 0o600
    first = token.read_text()
    print(f"SIGTERM after {time.monotonic() - began:.0f} s, {moment} trials")
    site.slurm.call("scancel", "--signal=TERM", "--batch", job)
    wait_for(site, job, lambda: site.slurm.job(job)["Restarts"] == "1")
    print(f"requeued after {time.monotonic() - began:.0f} s")
    wait_for(site, job, lambda: token.is_file() and token.read_text() != first)
    print(f"started again after {time.monotonic() - began:.0f} s")
    assert site.slurm.wait_for(job, "COMPLETED", "FAILED", "CANCELLED") == "COMPLETED", site.log(
        job
    )
    print(f"ended after {time.monotonic() - began:.0f} s\n{site.log(job)}")
    site.check("stopped", 16)
    said = site.log(job)
    for part in ("start 0: begins stopped", "exit code 143", "start 1: resumes stopped"):
        assert said.count(part) == 1, said
    assert "Traceback" not in said
    assert not token.parent.exists()


@pytest.mark.fault("a Slurm job at its time limit")
def test_the_time_limit_costs_no_trial_and_jobs_share_a_machine(site: Site) -> None:
    size, began = 48, time.monotonic()  # more than one start has time for
    jobs = {
        name: site.submit(name, size, "--time=3", "--oversubscribe", pause=0.8)
        for name in ("limit-a", "limit-b")
    }
    for name, job in jobs.items():
        state = site.slurm.wait_for(job, "COMPLETED", "FAILED", "TIMEOUT", seconds=900)
        print(f"{name} {state} after {time.monotonic() - began:.0f} s\n{site.log(job)}")
        assert state == "COMPLETED"
    for name, job in jobs.items():
        site.check(name, size)
        assert int(site.slurm.job(job)["Restarts"]) >= 1
        assert "SIGTERM: the search ends in good order" in site.log(job)
