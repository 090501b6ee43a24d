import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER, wait_for
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture
def execv_calls(monkeypatch):
    """Return the recorded calls of `os.execv`."""
    calls = []

    def execv(*call: object) -> None:
        calls.append((*call, os.environ.get("MLFLOW_BACKEND_STORE_URI")))

    monkeypatch.setattr(os, "execv", execv)
    for name in (
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_REGISTRY_STORE_URI",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        "PYTHONWARNINGS",
    ):
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


def test_the_ui_opens_at_the_runs_of_the_newest_search(tuner, execv_calls):
    uri, port = finished_search().locations.tracking_uri, free_port()
    experiment = connect(uri).get_experiment_by_name("blobs").experiment_id
    ran = tuner("ui", "--port", port, "--tracking-uri", uri)
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert (ran.code, len(execv_calls)) == (0, 1)
    assert ran.err.startswith(f"http://127.0.0.1:{port}/{page}\npress Ctrl-C to stop\n")


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


def test_a_missing_ledger_is_refused(tuner, here):
    ran = tuner("ui", "--dashboard", "optuna")
    assert ran.code == 2
    assert f"there is no file {here}/tuner.db" in ran.error_message
    assert "set --storage" in ran.error_message
    assert not list(here.iterdir())


def test_a_missing_dashboard_is_named(tuner, here, monkeypatch):
    shutil.copy(ledger_file(), here / "tuner.db")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    ran = tuner("ui", "--dashboard", "optuna")
    assert ran.code == 2
    assert "pip install optuna-dashboard" in ran.error_message


def test_the_optuna_dashboard_refuses_a_port_in_use(tuner, here):
    pytest.importorskip("optuna_dashboard")
    shutil.copy(ledger_file(), here / "tuner.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = tuner("ui", "--dashboard", "optuna", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "is in use" in ran.error_message


def test_the_optuna_dashboard_ends_with_ctrl_c(here):
    pytest.importorskip("optuna_dashboard")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuner", "ui", "--dashboard", "optuna", "--port", str(port)],
        # by a variable, as whatever holds a password must be
        env=os.environ | {"TUNER_STORAGE": f"sqlite:///{ledger_file()}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        text=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/dashboard")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=30) as answer:
            assert json.load(answer)["study_summaries"][0]["study_name"] == "done"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "")
    assert err == f"http://127.0.0.1:{port}\npress Ctrl-C to stop\n"


def ledger_file():
    return finished_search().locations.storage.removeprefix("sqlite:///")
