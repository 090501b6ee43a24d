import os
import socket
import sys

import pytest


@pytest.fixture
def execv_calls(monkeypatch):
    """Return the recorded calls of `os.execv`."""
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


def test_the_ui_listens_on_loopback_and_hides_its_database(tuner, execv_calls, here):
    (here / "mlflow.db").touch()
    port = free_port()
    ran = tuner("ui", "--port", port)
    assert ran.code == 0
    assert f"http://127.0.0.1:{port}" in ran.err
    ((program, line, store),) = execv_calls
    assert program == sys.executable
    assert line[line.index("--host") + 1] == "127.0.0.1"
    assert line[line.index("--port") + 1] == str(port)
    assert store == f"sqlite:///{here}/mlflow.db"
    assert not any("mlflow.db" in word for word in line)


def test_the_url_of_a_server_is_printed_without_its_password(tuner, execv_calls):
    ran = tuner("ui", "--tracking-uri", "https://me:canary@mlflow.example")
    assert (ran.code, ran.out) == (0, "https://me:***@mlflow.example\n")
    assert execv_calls == []


def test_a_missing_database_is_refused(tuner, execv_calls, here):
    ran = tuner("ui")
    assert ran.code == 2
    assert "run a search first" in ran.error_message
    assert execv_calls == []
    assert not list(here.iterdir())


def test_a_port_in_use_is_refused(tuner, execv_calls, here):
    (here / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = tuner("ui", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "is in use" in ran.error_message
    assert execv_calls == []
