"""Rows F8 to F10: an MLflow server that goes away for a while, for good, or was never there."""

import http.server
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER, free_port, server
from tests.tuner.two_nodes import PASSWORD, Postgres

from ..locations import Field
from .proxy import proxy
from .support import begin, check_points, check_whole, idle, outcomes, reach, trial_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]


@pytest.mark.fault("F8")
def test_f8_a_server_that_is_down_for_a_minute_costs_nothing(
    field: Field, rng: random.Random
) -> None:
    port = free_port()
    field.tracking_uri = f"http://127.0.0.1:{port}"
    epochs, pause, trials = 20, 0.2, 40
    with server(field.folder, port):
        words = idle(trials, epochs=epochs, pause=pause)
        driver = field.driver(*begin(field, "down", *words))
        process = driver.__enter__()
        reach(field, "down", rng.randint(2, 6), driver=process)
    try:
        went = field.ended("down")
        time.sleep(60)
        during = field.ended("down") - went
        with server(field.folder, port):
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, (out, err)
            assert field.wrong("down") == []
            check_points(field, "down")
    finally:
        driver.__exit__(None, None, None)
    assert "Traceback" not in err
    entries = field.entries("down")
    assert [(e.number, e.state) for e in entries] == [(n, "COMPLETE") for n in range(trials)]
    assert during >= 60 / (epochs * pause) / 2, "training waited for the server"
    slowest = max(e.outcome["seconds"] for e in entries)
    # it sleeps that long; the rest is for scoring on a machine with other work
    assert slowest < 1.2 * epochs * pause + 3, "a trial waited for the server"


@pytest.mark.fault("F9")
def test_f9_a_server_that_is_gone_for_good_is_synced_later(
    field: Field, rng: random.Random
) -> None:
    port = free_port()
    field.tracking_uri = f"http://127.0.0.1:{port}"
    with server(field.folder, port):
        driver = field.driver(*begin(field, "gone", *idle(12, pause=0.2)))
        process = driver.__enter__()
        reach(field, "gone", rng.randint(1, 10), driver=process)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        driver.__exit__(None, None, None)
    assert process.returncode == 5, (out, err)
    assert "Traceback" not in err
    assert "tuner sync gone" in err
    assert '"search": "gone"' in out, "the result is printed"
    assert {e.state for e in field.entries("gone")} == {"COMPLETE"}
    _check_synced(field, port, "gone")


def _check_synced(field: Field, port: int, name: str) -> None:
    """Raise unless a sync brings all of a search to MLflow, and another one changes nothing."""
    with server(field.folder, port):
        first = field.run("sync", name)
        assert first.code == 0, first.err
        assert field.wrong(name) == []
        check_points(field, name)
        runs = {n: [r.info.run_id for r in each] for n, each in trial_runs(field, name).items()}
        before = outcomes(field.entries(name))
        second = field.run("sync", name)
        assert second.code == 0, second.err
        again = {n: [r.info.run_id for r in each] for n, each in trial_runs(field, name).items()}
        assert again == runs
        assert outcomes(field.entries(name)) == before
        assert field.wrong(name) == []
        resumed = field.run("resume", name, "--json")
        assert resumed.code == 0, resumed.err
        assert resumed.result["champion"]["uri"] == "models:/blobs@champion"
        assert resumed.result["champion"]["version"] == 1


class Refuses(http.server.BaseHTTPRequestHandler):
    """A gate that lets no password pass."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def gate() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as refuses:
        threading.Thread(target=refuses.serve_forever, daemon=True).start()
        yield refuses.server_port
        refuses.shutdown()


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_URI", "http://user:{secret}@127.0.0.1:{closed}"),
        ("MLFLOW_TRACKING_URI", "http://user:{secret}@nosuch.invalid:5000"),
        ("MLFLOW_TRACKING_URI", "http://user:{secret}@127.0.0.1:{gate}"),
        ("MLFLOW_TRACKING_URI", "postgresql+psycopg://mlflow:{secret}@127.0.0.1:{port}/mlflow"),
        ("TUNER_STORAGE", "postgresql+psycopg://tuner:{secret}@127.0.0.1:{port}/tuner"),
        ("TUNER_STORAGE", "postgresql+psycopg://tuner:{secret}@nosuch.invalid/tuner"),
    ],
    ids=["closed", "no host", "refused", "wrong password", "ledger's password", "ledger's host"],
)
def test_f10_what_cannot_be_reached_is_named_before_any_training(
    field: Field, database: Postgres, variable: str, value: str
) -> None:
    secret = f"wrong-{PASSWORD}"
    with gate() as port:
        value = value.format(secret=secret, closed=free_port(), gate=port, port=database.port)
        field.settings = {variable: value}
        ended = field.run(*begin(field, "early", *idle(2)))
    assert ended.code == 4, ended.err
    assert ended.out == ""
    assert variable in ended.err
    assert ended.err.count("\n") == 1, "one sentence"
    assert PASSWORD not in ended.err
    assert not any(field.notes.iterdir()), "nothing was trained"
    # ten are promised for the attempt; imports on a machine with other work come on top
    assert ended.seconds < 25
    field.settings = {}
    assert variable == "TUNER_STORAGE" or not field.exists("early")


@pytest.mark.fault("F10")
def test_f10_a_server_that_is_slow_at_the_start_may_be_given_the_time(
    field: Field, rng: random.Random
) -> None:
    port = free_port()
    with server(field.folder, port), proxy(port) as between:
        field.tracking_uri = f"http://127.0.0.1:{between.port}"
        field.settings = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
        between.delay = rng.uniform(4.5, 6.0)  # of every request, more than four seconds
        with field.driver(*begin(field, "slow", *idle(4))) as driver:
            reach(field, "slow", 1, driver=driver)
            between.delay = 0.0
            out, err = driver.communicate(timeout=240)
        assert driver.returncode == 0, (out, err)
        assert field.wrong("slow") == []


@pytest.mark.fault("F10")
def test_f10_a_server_that_stops_answering_at_the_start_leaves_no_search_unsaid(
    field: Field, rng: random.Random
) -> None:
    port = free_port()
    with server(field.folder, port), proxy(port) as between:
        field.tracking_uri = f"http://127.0.0.1:{between.port}"
        with field.driver(*begin(field, "stuck", *idle(2))) as driver:
            between.delay = 0.0
            deadline = time.monotonic() + rng.uniform(2.0, 8.0)
            while time.monotonic() < deadline and driver.poll() is None:
                time.sleep(0.05)
            between.delay = 600.0
            out, err = driver.communicate(timeout=180)
        field.tracking_uri = f"http://127.0.0.1:{port}"
        assert driver.returncode in (4, 5), (out, err)
        assert "Traceback" not in err
        if field.exists("stuck"):
            assert "tuner resume stuck" in err or "tuner sync stuck" in err
            ended = field.run("resume", "stuck", "--json")
            check_whole(field, "stuck", 2, ended)


@pytest.mark.fault("MLflow's file deleted after the end")
def test_what_mlflow_lost_after_the_end_comes_back(field: Field) -> None:
    # looked at from other processes only: MLflow would keep the deleted file open in this one
    ended = field.run(*begin(field, "lost", *idle(6)))
    assert ended.code == 0, ended.err
    assert field.run("doctor", "lost").code == 0
    for path in field.folder.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(field.folder / "mlruns")
    assert field.run("doctor", "lost").code != 0, "the doctor sees that it is gone"
    synced = field.run("sync", "lost")
    assert synced.code == 0, synced.err
    assert field.wrong("lost") == []
    check_points(field, "lost")
    used = field.run("predict", "models:/blobs@champion", str(field.data), "-o", "out.csv")
    assert used.code == 0, used.err
    assert Path(field.folder, "out.csv").is_file()
