"""A search on three hosts: the driver and Ray's head on one, workers on the others."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.tuner.faults.locations import ROOT, Field
from tests.tuner.two_nodes import Node, Postgres, node, postgres, tracking

from .hosts import NAMES, Network, network

PORT = "6379"


@dataclass
class Site:
    """Hosts, a database and an MLflow server reachable from them, and a shared folder."""

    folder: Path
    network: Network
    database: Postgres
    field: Field
    settings: dict[str, str]

    @contextlib.contextmanager
    def cluster(self, *workers: str, **settings: str) -> Iterator[dict[str, Node]]:
        """Run Ray's head, which trains nothing, and a worker on each host that is named."""
        settings = self.settings | settings
        head = self.network.hosts["head"].address
        with contextlib.ExitStack() as stack:
            nodes = {}
            for name in ("head", *workers):
                host = self.network.hosts[name]
                flags = ["--address", f"{head}:{PORT}"]
                if name == "head":
                    flags = ["--head", "--port", PORT, "--include-dashboard", "false"]
                flags += ["--node-ip-address", host.address]
                options: dict[str, Any] = {"prefix": host.prefix, "cpus": int(name != "head")}
                nodes[name] = stack.enter_context(node(*flags, settings=settings, **options))
            yield nodes

    @contextlib.contextmanager
    def driver(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run `tuner` on the head; kill it in the end."""
        process = subprocess.Popen(
            [*self.network.hosts["head"].prefix, sys.executable, "-m", "tuner", *arguments],
            cwd=self.folder,
            env=os.environ | self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run `tuner` on the head to its end; return its exit code and what it wrote."""
        with self.driver(*arguments) as process:
            out, err = process.communicate()
        return process.returncode, out, err

    def states(self, name: str) -> list[str]:
        """Return the states of a search's trials by number, empty before it begins."""
        query = "select state from trials join studies using (study_id) where study_name = %s"
        where = self.database.url("tuner").replace("+psycopg", "")
        with contextlib.suppress(psycopg.errors.UndefinedTable), psycopg.connect(where) as there:
            return [str(row[0]) for row in there.execute(f"{query} order by number", [name])]
        return []

    def check(self, name: str, size: int) -> None:
        """Raise unless a search has exactly its trials and the doctor finds nothing."""
        assert self.states(name) == ["COMPLETE"] * size
        code, out, err = self.run("doctor", name, "--json")
        assert code == 0, out + err
        assert json.loads(out)

    def wait_for(self, condition: Any, process: "subprocess.Popen[str]", seconds: float) -> None:
        """Return once the condition holds while a driver runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the condition was not met in time"
            time.sleep(0.1)


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Run everything but Ray."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    field = Field(folder)
    with (
        network() as net,
        postgres(net.address) as database,
        tracking(folder, database.url("mlflow"), net.address) as uri,
    ):
        settings = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(field.plugin)]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_worker_niceness": "0",
            "RAY_ADDRESS": f"{net.hosts['head'].address}:{PORT}",
            "TUNER_STORAGE": database.url("tuner"),
            "TUNER_ARTIFACTS": str(folder / "artifacts"),
            "MLFLOW_TRACKING_URI": uri,
            "IDLE_NOTES": str(field.notes),
            "OMP_NUM_THREADS": "1",
        }
        assert set(net.hosts) == set(NAMES)
        yield Site(folder, net, database, field, settings)
