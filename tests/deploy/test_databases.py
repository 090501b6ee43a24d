"""The script that makes the databases of the compose file, on a real PostgreSQL."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY
from tests.tuner.two_nodes import PASSWORD, Postgres


@pytest.mark.slow
def test_each_database_is_open_to_its_own_role_alone() -> None:
    passwords = {"tuner": 'it\'s "quoted" \\ $here', "mlflow": "another"}
    with tempfile.TemporaryDirectory(prefix="tuner-pg-", ignore_cleanup_errors=True) as folder:
        for name, password in passwords.items():
            Path(folder, f"{name}_db_password").write_text(password)
        server = Postgres(Path(folder))
        server.start()
        try:
            check(server, folder, passwords)
        finally:
            server.stop()


def check(server: Postgres, folder: str, passwords: dict[str, str]) -> None:
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    env = os.environ | place | {"SECRETS": folder, "PGPASSWORD": PASSWORD}
    subprocess.run([DEPLOY / "compose" / "databases"], env=env, check=True)
    for role, password in passwords.items():
        for database in passwords:
            assert connects(place, role, password, database) == (role == database)
        assert not connects(place, role, "wrong", role)


def connects(place: dict[str, str], role: str, password: str, database: str) -> bool:
    env = {"PATH": os.environ["PATH"], "PGPASSWORD": password} | place
    command = ["psql", "-U", role, "-d", database, "-Atc", "create table t (); drop table t"]
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0
