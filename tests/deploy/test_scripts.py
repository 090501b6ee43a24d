"""The small programs of the images, run for real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.deploy.manifests import DEPLOY
from tuner.cli.app import app
from tuner.ledger.ledger import Ledger

DOCKER = DEPLOY / "docker"
RECORD = {
    "study": {"methods": ["kmeans"], "dataset": "gone.csv", "objective": "separation"},
    "trials": 2,
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a ledger in this folder, and `tuner` on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    command = f'#!/bin/sh\nexec {sys.executable} -m tuner "$@"\n'
    (programs / "tuner").write_text(command)
    (programs / "tuner").chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TUNER_STORAGE": f"sqlite:///{tmp_path}/tuner.db",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "TUNER_ARTIFACTS": str(tmp_path / "artifacts"),
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": str(DEPLOY.parent),
    }


def run(*command: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "script",
    [path for path in DOCKER.iterdir() if not path.suffix] + [DEPLOY / "compose" / "prepare"],
    ids=lambda path: path.name,
)
def test_a_script_may_be_run_and_parses(script: Path) -> None:
    if script.name == "Dockerfile":
        assert not os.access(script, os.X_OK)
        return
    assert os.access(script, os.X_OK)
    first, text = script.read_text().split("\n", 1)
    if "python3" in first:
        compile(text, script.name, "exec")
    else:
        assert first == "#!/bin/sh"
        assert run("/bin/sh", "-n", script, env={}).returncode == 0


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("c4n4ry with spaces and $signs\n")
    env = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(secret)}
    done = run(DOCKER / "with-secrets", "printenv", "PGPASSWORD", env=env)
    assert done.stdout == "c4n4ry with spaces and $signs\n"
    assert run(DOCKER / "with-secrets", "printenv", "PGPASSWORD_FILE", env=env).returncode == 1


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(tmp_path / "none")}
    done = run(DOCKER / "with-secrets", "touch", str(tmp_path / "ran"), env=env)
    assert done.returncode == 2
    assert f"PGPASSWORD_FILE={tmp_path}/none cannot be read" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_exit_code_of_the_command_is_kept() -> None:
    env = {"PATH": os.environ["PATH"]}
    assert run(DOCKER / "with-secrets", "sh", "-c", "exit 75", env=env).returncode == 75


def test_a_new_name_starts_a_search(environment: dict[str, str]) -> None:
    options = ("--method", "kmeans", "--trials", "3", "--dry-run", "--json")
    done = run(DOCKER / "search-or-resume", "cells", *options, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["study"]["trials"] == 3
    assert done.stderr == ""


def test_a_bad_option_of_a_new_search_is_told(environment: dict[str, str]) -> None:
    done = run(DOCKER / "search-or-resume", "cells", "--method", "kmens", env=environment)
    assert done.returncode == 2
    assert "did you mean 'kmeans'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_known_name_goes_on(environment: dict[str, str]) -> None:
    Ledger.create(environment["TUNER_STORAGE"], "cells", RECORD).close()
    resumed = run("tuner", "resume", "cells", env=environment)
    done = run(DOCKER / "search-or-resume", "cells", "--method", "kmens", env=environment)
    assert (done.returncode, done.stderr) == (resumed.returncode, resumed.stderr)
    assert "kmens" not in done.stderr


def test_options_that_resume_has_are_kept(environment: dict[str, str]) -> None:
    Ledger.create(environment["TUNER_STORAGE"], "cells", RECORD).close()
    script = (DOCKER / "search-or-resume").read_text()
    options = [o for p in command("resume").params for o in p.opts if o.startswith("-")]
    assert [o for o in options if o not in script] == []
    for given in (["--method", "x", "--workers", "0", "--seed=3"], ["--seed", "3", "--workers=0"]):
        done = run(DOCKER / "search-or-resume", "cells", *given, env=environment)
        resumed = run("tuner", "resume", "cells", "--workers", "0", env=environment)
        assert (done.returncode, done.stderr) == (resumed.returncode, resumed.stderr)
        assert "--workers 0" in done.stderr


def command(name: str) -> Any:
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


def test_a_database_that_is_away_starts_nothing(environment: dict[str, str]) -> None:
    environment["TUNER_STORAGE"] = "postgresql+psycopg://tuner@127.0.0.1:1/tuner"
    done = run(DOCKER / "search-or-resume", "cells", "--method", "kmeans", env=environment)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1


def test_another_drivers_lease_is_waited_for_and_sigterm_ends_the_wait(
    environment: dict[str, str],
) -> None:
    ledger = Ledger.create(environment["TUNER_STORAGE"], "cells", RECORD)
    ledger.set_attribute("lease", {"owner": "another", "expires": time.time() + 1e6})
    ledger.close()
    command = [DOCKER / "search-or-resume", "cells"]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert "waiting for the lease" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to uid 10001, which needs root")
def test_prepare_writes_secrets_once_and_for_the_containers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    shutil.copytree(DEPLOY / "compose", folder)
    assert run(folder / "prepare", env={"PATH": os.environ["PATH"]}).returncode == 0
    secrets = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert len(set(secrets.values())) == len(secrets)
    assert all(len(text) >= 20 for text in secrets.values())
    for path in (folder / "secrets").iterdir():
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (10001, 0o600)
    (identity,) = json.loads(secrets["s3_config"])["identities"]
    assert identity["credentials"] == [
        {"accessKey": secrets["s3_access_key"], "secretKey": secrets["s3_secret_key"]}
    ]
    assert run(folder / "prepare", env={"PATH": os.environ["PATH"]}).returncode == 0
    assert {p.name: p.read_text() for p in (folder / "secrets").iterdir()} == secrets
