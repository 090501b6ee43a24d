"""A search on two Ray nodes, its ledger and MLflow on PostgreSQL, while one of them dies."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.tuner.mlflow_store import OLD_LOADER, free_port
from tests.tuner.two_nodes import PASSWORD, Node, Postgres, node, postgres, tracking

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings(OLD_LOADER),
]
_MARK = "TUNER_TEST_MARK"
_SIZE = 20
# a trial that ends before a worker is up is the end of that worker: Tune reuses the one that is
_SEARCH = ["--method", "gmvae", "--epochs", "60", "--scheduler", "none"]
_SMALL = ["--method", "kmeans", "--trials", "2"]


@dataclass
class Site:
    """Everything that a search on more than one machine is told about."""

    folder: Path
    database: Postgres
    tracking_uri: str
    address: str
    head: Node
    settings: dict[str, str]

    def second_node(self) -> AbstractContextManager[Node]:
        flags = ["--address", self.address, "--node-ip-address", "127.0.0.2"]
        return node(*flags, settings=self.settings)

    @contextmanager
    def driver(
        self, *arguments: str, name: str, **changed: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start `tuner`; what it writes is in NAME.out and NAME.err."""
        command = [sys.executable, "-c", "from tuner.__main__ import main; main()", *arguments]
        with self.path(name, "out").open("wb") as out, self.path(name, "err").open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | self.settings | changed,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *arguments: str, name: str, **changed: str) -> tuple[int, str, str]:
        """Run `tuner` to its end and return its exit code, and what it wrote."""
        with self.driver(*arguments, name=name, **changed) as process:
            code = process.wait()
        return code, self.path(name, "out").read_text(), self.path(name, "err").read_text()

    def path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}.{suffix}"

    def states(self, name: str) -> list[str]:
        """Return the states of a search's trials, empty before it begins."""
        query = "select state from trials join studies using (study_id) where study_name = %s"
        where = self.database.url("tuner").replace("+psycopg", "")
        try:
            with psycopg.connect(where) as connection:
                return [str(row[0]) for row in connection.execute(query, [name])]
        except psycopg.errors.UndefinedTable:
            return []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cluster")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    settings = {
        _MARK: secrets.token_hex(8),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TUNER_ARTIFACTS": str(folder / "artifacts"),
    }
    address = f"127.0.0.1:{free_port()}"
    head = ["--head", "--port", address.partition(":")[2], "--include-dashboard", "false"]
    head += ["--ray-client-server-port", str(free_port())]
    with (
        postgres() as database,
        tracking(folder, database.url("mlflow")) as uri,
        node(*head, settings=settings) as first,
    ):
        settings |= {
            "TUNER_STORAGE": database.url("tuner"),
            "MLFLOW_TRACKING_URI": uri,
            "RAY_ADDRESS": address,
        }
        yield Site(folder, database, uri, address, first, settings)
    assert _survivors(settings[_MARK]) == []


@pytest.mark.fault("F11")
def test_sqlite_is_refused_for_two_machines(site: Site):
    with site.second_node():
        for variable in ("TUNER_STORAGE", "MLFLOW_TRACKING_URI"):
            changed = {variable: f"sqlite:///{site.folder / variable}.db"}
            code, out, said = site.run("search", *_SMALL, name=variable, **changed)
            assert (code, out) == (2, ""), said
            assert f"{variable} is sqlite" in said
            assert "the cluster has 2 machines" in said
            assert "Traceback" not in said


@pytest.mark.fault("F6")
def test_a_lost_node_costs_no_trial(site: Site):
    arguments = ["search", *_SEARCH, "--trials", str(_SIZE), "--name", "moved", "--json"]
    with site.second_node() as second, site.driver(*arguments, name="moved") as driver:
        while len(site.states("moved")) < _SIZE // 3 or not second.is_training():
            assert driver.poll() is None, site.path("moved", "err").read_text()
            time.sleep(0.05)
        second.lose()
        assert driver.wait() == 0, site.path("moved", "err").read_text()
    _check_search(site, "moved", _SIZE)
    result = json.loads(site.path("moved", "out").read_text())
    assert result["trials"]["total"] == _SIZE
    assert result["champion"]["promoted"]
    said = site.path("moved", "err").read_text()
    assert "Traceback" not in said
    assert "raylet" not in said


@pytest.mark.fault("F6")
def test_a_machine_that_has_just_gone_is_not_waited_for(site: Site):
    with site.second_node() as second:
        second.lose()
        code, out, said = site.run("search", *_SMALL, "--json", name="alone")
    assert code == 0, said
    assert json.loads(out)["trials"]["failed"] == 0


@pytest.mark.fault("F12")
def test_a_database_that_restarts_costs_no_trial(site: Site):
    arguments = ["search", *_SEARCH, "--trials", "8", "--name", "restarted", "--json"]
    with site.driver(*arguments, name="restarted") as driver:
        while len(site.states("restarted")) < 4:
            assert driver.poll() is None, site.path("restarted", "err").read_text()
            time.sleep(0.1)
        site.database.stop()
        time.sleep(3)
        site.database.start()
        assert driver.wait() == 0, site.path("restarted", "err").read_text()
    _check_search(site, "restarted", 8)
    assert "Traceback" not in site.path("restarted", "err").read_text()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("TUNER_STORAGE", "postgresql+psycopg://tuner:{secret}@127.0.0.1:1/tuner", "refused"),
        ("TUNER_STORAGE", "postgresql+psycopg://tuner:{secret}@nosuch.invalid/tuner", "resolve"),
        ("TUNER_STORAGE", "postgresql+psycopg://tuner:{secret}@127.0.0.1:{port}/tuner", "passw"),
        ("MLFLOW_TRACKING_URI", "http://user:{secret}@127.0.0.1:1", "127.0.0.1"),
        ("MLFLOW_TRACKING_URI", "postgresql://mlflow:{secret}@127.0.0.1:{port}/mlflow", "passw"),
        ("MLFLOW_TRACKING_URI", "http://user:{secret}@nosuch.invalid:5000", "nosuch.invalid"),
        ("RAY_ADDRESS", "127.0.0.1:1", "refused"),
        ("RAY_ADDRESS", "nosuch.invalid:6379", "not known"),
        ("RAY_ADDRESS", "127.0.0.1:{port}", "is not Ray"),
        ("RAY_AUTH_TOKEN_PATH", "{folder}/other-token", "rejects the token"),
    ],
)
@pytest.mark.fault("F10")
def test_a_service_that_cannot_be_used_is_named(
    site: Site, variable: str, value: str, reason: str
):
    secret = f"wrong-{PASSWORD}"
    (site.folder / "other-token").write_text(secret)
    value = value.format(secret=secret, port=site.database.port, folder=site.folder)
    code, out, said = site.run("search", *_SMALL, name="bad", **{variable: value})
    assert (code, out) == (4, ""), said
    assert variable in said
    assert reason in said.lower() or reason in said
    assert said.splitlines()[-1].startswith("error: ")
    assert said.count("error") == 1, said
    assert "Traceback" not in said
    assert PASSWORD not in said


def test_a_password_is_kept_nowhere(site: Site):
    for name in ("tuner", "mlflow"):
        assert PASSWORD not in site.database.dump(name)
    for path in (*site.folder.rglob("*"), *site.head.folder.rglob("*")):
        if path.is_file() and path.name not in ("token", "other-token"):
            assert PASSWORD.encode() not in path.read_bytes(), path


def _check_search(site: Site, name: str, size: int) -> None:
    """Raise unless a search has exactly its trials, in the ledger and in MLflow."""
    from mlflow import MlflowClient

    states = site.states(name)
    assert len(states) == size
    assert set(states) <= {"COMPLETE", "PRUNED"}
    client = MlflowClient(site.tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    own = f"tags.`tuner.search` = '{name}' and tags.`tuner.role` = "
    (parent,) = client.search_runs(experiments, f"{own}'search'")
    children = client.search_runs(experiments, f"{own}'trial'", max_results=100)
    assert sorted(int(run.data.tags["tuner.number"]) for run in children) == list(range(size))
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    code, out, said = site.run("doctor", name, name="doctor")
    assert code == 0, out + said


def _survivors(mark: str) -> list[str]:
    """Return the processes that were started here and have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found
