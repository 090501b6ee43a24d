"""What a search on more than one machine needs, on this one: PostgreSQL, MLflow, Ray nodes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.tuner.mlflow_store import free_port, kill, wait_for

PASSWORD = "c4n4ry-of-the-database"
DATABASES = ("tuner", "mlflow")


class Postgres:
    """A PostgreSQL of one's own, with a database and a role for each of two users.

    It listens on loopback, and at a second address for the network around that.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert found, "PostgreSQL's server is not installed: apt-get install postgresql"
        self._bin, self._folder, self._address = found[-1].parent, folder, address
        # it refuses to run as root; Debian's package brings a user for it
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            shutil.chown(folder, self._user)
            shutil.chown(secret, self._user)
        flags = ["--auth", "scram-sha-256", "--username", "postgres", "--pwfile", str(secret)]
        self._call("initdb", "-D", str(folder / "data"), *flags)
        with (folder / "data/pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 scram-sha-256\n")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        addresses = ",".join({"127.0.0.1", self._address})
        settings = [f"listen_addresses={addresses}", f"unix_socket_directories={self._folder}"]
        options = [flag for setting in settings for flag in ("-c", setting)]
        command = [self._bin / "postgres", "-D", self._folder / "data", "-p", str(self.port)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options], user=self._user, stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + 120
        ready = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.1)

    def create(self) -> None:
        """Create the databases."""
        for name in DATABASES:
            self.psql(f"create role {name} login password '{PASSWORD}'")
            self.psql(f"create database {name} owner {name}")

    def stop(self) -> None:
        """End the server at once, as `pg_ctl stop -m immediate` does."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def url(self, name: str) -> str:
        """Return the address of a database, its password included."""
        return f"postgresql+psycopg://{name}:{PASSWORD}@{self._address}:{self.port}/{name}"

    def psql(self, command: str) -> str:
        """Run a command as the server's owner and return what it prints."""
        return self._call("psql", *self._login(), "-d", "postgres", "-Atc", command)

    def dump(self, name: str) -> str:
        """Return all that a database holds."""
        return self._call("pg_dump", *self._login(), name)

    def _login(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]

    def _call(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            user=self._user,
            env=os.environ | {"PGPASSWORD": PASSWORD},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def postgres(address: str = "127.0.0.1") -> Iterator[Postgres]:
    """Run a PostgreSQL with its databases."""
    with tempfile.TemporaryDirectory(prefix="tuner-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), address)
        server.start()
        try:
            server.create()
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def tracking(folder: Path, database: str, address: str = "127.0.0.1") -> Iterator[str]:
    """Run an MLflow server on a database and return its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", address]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "mlflow-artifacts")]
    settings = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "mlflow.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | settings,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://{address}:{port}/health")
        yield f"http://{address}:{port}"
    finally:
        kill(process)


class Node:
    """A node of a Ray cluster with one CPU, made by `ray start`; `prefix` runs it elsewhere."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        settings: dict[str, str],
        cpus: int = 1,
        prefix: Sequence[str] = (),
    ) -> None:
        command = [*prefix, str(Path(sys.executable).with_name("ray")), "start", "--block", *flags]
        command += ["--num-cpus", str(cpus), "--object-store-memory", "200000000"]
        command += ["--dashboard-agent-listen-port", str(free_port())]
        command += ["--temp-dir", str(folder), "--disable-usage-stats"]
        self.folder, self._log = folder, folder / "start.log"
        # a token that an earlier Ray left in the home folder would be demanded from the driver
        settings = os.environ | {"RAY_AUTH_MODE": "disabled"} | settings
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, env=settings, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Return once the node has joined."""
        deadline = time.monotonic() + 180
        while "Ray runtime started" not in self._log.read_text():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.2)

    def is_training(self) -> bool:
        """Return whether a trial is being trained there at this moment."""
        return any(_title(process).endswith(".train") for process in self._family())

    def lose(self) -> None:
        """Kill everything on the node at once, as a power cut does."""
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=30)
        self._process.wait()

    def kill(self, name: str) -> None:
        """Kill the process of a name, such as gcs_server, alone."""
        (found,) = [one for one in self._family() if one.name() == name]
        found.kill()
        found.wait(30)

    def _family(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


@contextlib.contextmanager
def node(*flags: str, settings: dict[str, str], **options: Any) -> Iterator[Node]:
    """Run a node of a Ray cluster; what is left of it at the end is killed."""
    # the path of a socket has room for 107 characters, which pytest's folders would use up
    with tempfile.TemporaryDirectory(prefix="tuner-ray-", ignore_cleanup_errors=True) as folder:
        started = Node(Path(folder), *flags, settings=settings, **options)
        try:
            started.wait()
            yield started
        finally:
            started.lose()
