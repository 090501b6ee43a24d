import os
import socket
import sys

import pytest


@pytest.fixture
def begun(monkeypatch):
    """What would have been run in place of this process."""
    calls = []

    def execv(*call: object) -> None:
        calls.append((*call, os.environ.get("MLFLOW_BACKEND_STORE_URI")))

    monkeypatch.setattr(os, "execv", execv)
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return calls


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_mlflow_is_shown_on_loopback_and_its_database_not_on_the_command_line(tuner, begun, here):
    (here / "mlflow.db").touch()
    port = free_port()
    ran = tuner("ui", "--port", port)
    assert ran.code == 0
    assert f"http://127.0.0.1:{port}" in ran.err
    ((program, line, store),) = begun
    assert program == sys.executable
    assert line[line.index("--host") + 1] == "127.0.0.1"
    assert line[line.index("--port") + 1] == str(port)
    assert store == f"sqlite:///{here}/mlflow.db"
    assert not any("mlflow.db" in word for word in line)


def test_a_server_that_runs_is_named_without_its_password(tuner, begun):
    ran = tuner("ui", "--tracking-uri", "https://me:canary@mlflow.example")
    assert (ran.code, ran.out) == (0, "https://me:***@mlflow.example\n")
    assert begun == []


def test_no_database_yet_is_refused(tuner, begun, here):
    ran = tuner("ui")
    assert ran.code == 2
    assert "run a search first" in ran.complaint
    assert begun == []
    assert not list(here.iterdir())


def test_a_port_in_use_is_refused(tuner, begun, here):
    (here / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = tuner("ui", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "is in use" in ran.complaint
    assert begun == []
