import itertools
import math
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER, free_port, server
from tuner.data.summary import DataSummary
from tuner.errors import LeaseError, ServiceError, TunerError, UsageError
from tuner.tracking import RunRecord, Tracker, check, connect
from tuner.tracking.connection import get_or_create_experiment

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

DATASET = DataSummary(
    name="digits",
    fingerprint="0123456789abcdef" * 4,
    train=30,
    test=10,
    shape=(8, 8),
    unit_interval=True,
)
NOWHERE = Path("/never-used")
names = (f"search-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def search():
    return next(names)


def opened(uri, search, fence=lambda: None):
    tracker = Tracker(uri, experiment="digits", search=search, files=NOWHERE, fence=fence)
    parent = tracker.open(tags={"space_hash": "abc"}, params={"trials": 12}, data=DATASET)
    return tracker, parent


def record(number=3, epochs=3, state="COMPLETE", **more):
    curve = [(e, {"train/loss": 1 / e, "score/score": e / 10}) for e in range(1, epochs + 1)]
    ended = None if state == "RUNNING" else 1_700_000_009_000
    value = None if state in ("RUNNING", "FAIL") else epochs / 10
    values = {
        "key": f"trial {number}",
        "role": "trial",
        "number": number,
        "method": "kmeans",
        "params": {"n_components": 10, "learning_rate": 1e-3},
        "seeds": (1, 2, 3),
        "state": state,
        "started": 1_700_000_000_000,
        "ended": ended,
        "value": value,
        "history": curve,
        "tags": {"device": "cpu"},
    }
    return RunRecord(**(values | more))


def write(uri, search, *records):
    tracker, parent = opened(uri, search)
    for each in records:
        tracker.log(each)
    assert tracker.close(30)
    assert tracker.problems == []
    return parent


def children(uri, parent):
    client = connect(uri)
    experiments = [client.get_run(parent).info.experiment_id]
    return client.search_runs(experiments, f"tags.mlflow.parentRunId = '{parent}'")


def history(uri, run, metric):
    points = connect(uri).get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def everything(uri, parent):
    """Return everything that is stored of a search."""
    client = connect(uri)
    found = {}
    for run in [client.get_run(parent), *children(uri, parent)]:
        run_id = run.info.run_id
        found[run_id] = {
            "info": (run.info.status, run.info.run_name, run.info.start_time, run.info.end_time),
            "tags": run.data.tags,
            "params": run.data.params,
            "points": {
                name: [
                    (p.step, p.value, p.timestamp) for p in client.get_metric_history(run_id, name)
                ]
                for name in run.data.metrics
            },
            "artifacts": [file.path for file in client.list_artifacts(run_id)],
            "inputs": [given.dataset.digest for given in run.inputs.dataset_inputs],
        }
    return found


def test_a_trial_becomes_one_child_of_the_search(uri, search):
    parent = write(uri, search, record())
    (run,) = children(uri, parent)
    assert run.info.run_name == "trial 003"
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_009_000)
    assert run.data.params["n_components"] == "10"
    assert run.data.params["seeds"] == "1,2,3"
    assert run.data.tags["tuner.state"] == "COMPLETE"
    assert run.data.tags["tuner.device"] == "cpu"
    assert history(uri, run, "score/score") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert history(uri, run, "value") == [(3, 0.3)]


def test_the_search_is_a_run_with_its_data_set(uri, search):
    tracker, parent = opened(uri, search)
    assert tracker.close(10)
    run = connect(uri).get_run(parent)
    assert run.info.run_name == search
    assert run.info.status == "RUNNING"
    assert run.data.params == {"trials": "12"}
    assert run.data.tags["tuner.space_hash"] == "abc"
    (given,) = run.inputs.dataset_inputs
    assert DATASET.fingerprint.startswith(given.dataset.digest)
    assert DATASET.fingerprint in given.dataset.source


@pytest.mark.parametrize(
    ("state", "status"), [("COMPLETE", "FINISHED"), ("PRUNED", "FINISHED"), ("FAIL", "FAILED")]
)
def test_the_run_has_the_status_of_its_trial(uri, search, state, status):
    (run,) = children(uri, write(uri, search, record(state=state, reason="because")))
    assert run.info.status == status
    assert run.data.tags["tuner.state"] == state
    assert run.data.tags["tuner.reason"] == "because"


def test_values_that_are_not_finite_are_not_stored(uri, search):
    curve = [(1, {"train/loss": math.nan, "score/score": math.inf, "train/kl": 1.0})]
    (run,) = children(uri, write(uri, search, record(history=curve, value=math.nan)))
    assert run.data.metrics == {"train/kl": 1.0}


def test_writing_records_again_changes_nothing(uri, search, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"png")
    records = [
        record(1, artifacts=tmp_path),
        record(2, state="PRUNED"),
        record(3, state="FAIL", history=()),
        record(4, state="RUNNING"),
        record(1, key="finalist 1", role="finalist"),
    ]
    parent = write(uri, search, *records)
    before = everything(uri, parent)
    assert len(before) == 6
    for _ in range(2):
        assert write(uri, search, *records) == parent
        assert everything(uri, parent) == before


def test_a_resumed_search_continues_its_runs(uri, search):
    parent = write(uri, search, record(epochs=2, state="RUNNING"))
    assert write(uri, search, record(epochs=5, attempt=1)) == parent
    (run,) = children(uri, parent)
    assert history(uri, run, "train/loss") == [(e, 1 / e) for e in range(1, 6)]
    assert run.data.tags["tuner.attempt"] == "1"
    assert run.info.status == "FINISHED"


def test_late_metrics_are_added(uri, search):
    parent = write(uri, search, record())
    late = record()
    late = replace(
        late, history=[*late.history[:-1], (3, {**late.history[-1][1], "test/score": 0.7})]
    )
    write(uri, search, replace(late, reason="judged"))
    (run,) = children(uri, parent)
    assert history(uri, run, "test/score") == [(3, 0.7)]
    assert history(uri, run, "score/score") == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_long_curves_are_stored_completely(uri, search):
    curve = [(e, {f"train/m{k:02}": float(e * k) for k in range(15)}) for e in range(1, 151)]
    (run,) = children(uri, write(uri, search, record(history=curve)))
    assert history(uri, run, "train/m14") == [(e, float(e * 14)) for e in range(1, 151)]
    assert history(uri, run, "train/m00") == [(e, 0.0) for e in range(1, 151)]


def test_artifacts_are_stored_with_the_run(uri, search, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("first")
    parent = write(uri, search, record(artifacts=tmp_path))
    (run,) = children(uri, parent)
    client = connect(uri)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["deep"]
    (tmp_path / "deep" / "a.txt").write_text("second")
    write(uri, search, record(artifacts=tmp_path))
    place = client.download_artifacts(run.info.run_id, "deep/a.txt", str(tmp_path))
    assert Path(place).read_text() == "second"


def calls(monkeypatch, tracker, *faults):
    """Record the calls of a tracker's client; each name in `faults` fails once after its call."""
    made, to_fail = [], list(faults)

    def attribute(name, real):
        def call(*args, **kwargs):
            made.append(name)
            answer = real(*args, **kwargs)
            if name in to_fail:
                to_fail.remove(name)
                raise ConnectionError("the answer was lost")
            return answer

        return call

    client = tracker._client
    for name in ("create_run", "log_batch", "set_terminated", "update_run", "search_runs"):
        monkeypatch.setattr(client, name, attribute(name, getattr(client, name)))
    return made


def test_a_short_trial_costs_three_calls(uri, search, monkeypatch):
    tracker, _ = opened(uri, search)
    made = calls(monkeypatch, tracker)
    tracker.log(record(state="RUNNING", epochs=1))
    tracker.log(record(state="RUNNING", epochs=2))
    tracker.log(record())
    assert tracker.close(30)
    assert made == ["create_run", "log_batch", "set_terminated"]


def test_complete_runs_cost_no_calls_after_a_restart(uri, search, monkeypatch):
    write(uri, search, *(record(n) for n in range(5)))
    tracker, _ = opened(uri, search)
    made = calls(monkeypatch, tracker)
    for n in range(5):
        tracker.log(record(n))
    assert tracker.close(30)
    assert made == ["search_runs"]


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
def test_a_lost_answer_duplicates_nothing(uri, search, monkeypatch, call):
    tracker, parent = opened(uri, search)
    made = calls(monkeypatch, tracker, call)
    tracker.log(record())
    assert tracker.close(30)
    assert made.count(call) <= 2
    (run,) = children(uri, parent)
    assert run.info.status == "FINISHED"
    for metric, step in (("score/score", 3), ("value", 1)):
        assert len(history(uri, run, metric)) == step


def test_a_server_that_hangs_blocks_nobody(uri, search, monkeypatch):
    tracker, _ = opened(uri, search)
    release = threading.Event()
    monkeypatch.setattr(tracker._client, "create_run", lambda *a, **k: release.wait(30))
    began = time.monotonic()
    for n in range(50):
        tracker.log(record(n))
    assert time.monotonic() - began < 0.5
    assert tracker.pending == 50
    assert not tracker.close(0.2)
    release.set()


def test_rejected_records_are_reported(uri, search):
    tracker, parent = opened(uri, search)
    tracker.log(record(1, params={"a bad ~ name": 1}))
    tracker.log(record(2))
    assert not tracker.close(30)
    (problem,) = tracker.problems
    assert "trial 1" in problem
    assert "trial 002" in {run.info.run_name for run in children(uri, parent)}


def test_opening_again_finds_the_same_run(uri, search):
    parent = write(uri, search)
    tracker, again = opened(uri, search)
    tracker.finish(metrics={"best": 0.9}, tags={"best_trial": 3}, status="KILLED")
    assert tracker.close(30)
    client = connect(uri)
    assert again == parent
    assert client.get_run(parent).info.status == "KILLED"
    assert opened(uri, search)[1] == parent
    assert client.get_run(parent).info.status == "RUNNING"
    assert opened(uri, next(names))[1] != parent


def test_the_outcome_is_written_to_the_search(uri, search, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.png").write_bytes(b"")
    (tmp_path / "report.html").write_text("<p>")
    for _ in range(2):
        tracker, parent = opened(uri, search)
        tracker.log(record())
        tracker.finish(
            metrics={"best/score": 0.9, "best/odd": math.nan},
            tags={"best_trial": 3},
            artifacts=tmp_path / "plots",
            report=tmp_path / "report.html",
        )
        assert tracker.close(30)
    run = connect(uri).get_run(parent)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"best/score": 0.9}
    assert run.data.tags["tuner.best_trial"] == "3"
    assert history(uri, run, "best/score") == [(0, 0.9)]
    stored = [file.path for file in connect(uri).list_artifacts(parent)]
    assert stored == ["pictures", "report.html"], "no file is above the report"
    experiment = run.info.experiment_id
    assert run.data.tags["mlflow.note.content"].startswith(
        f"[Report of the search](#/experiments/{experiment}/runs/{parent}/artifacts/report.html)"
    )


def test_every_run_has_its_data(uri, search):
    parent = write(uri, search, record(), record(key="trial 4", number=4, state="FAIL"))
    write(uri, search, record())  # what has them gets no others
    runs = [connect(uri).get_run(parent), *children(uri, parent)]
    named = [
        [(i.dataset.name, len(i.dataset.digest)) for i in r.inputs.dataset_inputs] for r in runs
    ]
    assert named == 3 * [[("digits", 8)]]


def test_a_run_of_an_earlier_version_gets_its_data(uri, search):
    tracker, parent = opened(uri, search)
    assert tracker.close(30)
    client, made = connect(uri), record(state="RUNNING")
    own = {"tuner.key": made.key, "mlflow.parentRunId": parent}
    client.create_run(client.get_run(parent).info.experiment_id, tags=own)
    write(uri, search, record())
    (run,) = children(uri, parent)
    assert len(run.inputs.dataset_inputs) == 1


def test_artifacts_are_stored_next_to_the_database(uri, tmp_path, monkeypatch, search):
    monkeypatch.chdir(tmp_path)
    parent = write(uri, search)
    place = connect(uri).get_run(parent).info.artifact_uri
    assert place.startswith("file://" + uri.removeprefix("sqlite:///").removesuffix("mlflow.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_experiment_is_a_usage_error(uri):
    client = connect(uri)
    gone = get_or_create_experiment(client, uri, "gone", files=NOWHERE)
    assert get_or_create_experiment(client, uri, "gone", files=NOWHERE) == gone
    client.delete_experiment(gone)
    with pytest.raises(UsageError, match=f"mlflow experiments restore -x {gone}"):
        get_or_create_experiment(client, uri, "gone", files=NOWHERE)


@pytest.mark.parametrize(
    "bad",
    [
        "http://user:c4n4ry@127.0.0.1:{port}",
        "sqlite:////nowhere/at/all/mlflow.db",
        "./mlruns",
        "ftp://user:c4n4ry@host/x",
    ],
)
def test_an_unreachable_service_is_an_error_within_ten_seconds(bad):
    began = time.monotonic()
    with pytest.raises(TunerError) as caught:
        check(bad.format(port=free_port()))
    assert time.monotonic() - began < 10
    assert "c4n4ry" not in str(caught.value)
    assert caught.value.exit_code in (4, 74)


@pytest.mark.slow
@pytest.mark.fault("F10")
def test_a_server_that_never_answers_is_noticed_within_ten_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ServiceError, match="MLFLOW_TRACKING_URI"):
            check(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_four_processes_may_create_a_store_at_once(tmp_path):
    program = f"from tuner.tracking import check; check('sqlite:///{tmp_path / 'mlflow.db'}')"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0] * 4


@pytest.mark.slow
@pytest.mark.fault("F8")
def test_a_killed_and_restarted_server_loses_and_duplicates_nothing(tmp_path, search, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    trials = 12
    with server(tmp_path, port):
        tracker, parent = opened(uri, search)
        for n in range(trials // 2):
            tracker.log(record(n, epochs=5))
        time.sleep(0.15)  # in the middle of it
    slowest = 0.0
    for n in range(trials // 2, trials):
        began = time.monotonic()
        tracker.log(record(n, epochs=5))
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.1
    with server(tmp_path, port):
        assert tracker.close(180)
        runs = children(uri, parent)
        assert sorted(run.info.run_name for run in runs) == [
            f"trial {n:03}" for n in range(trials)
        ]
        for run in runs:
            assert run.info.status == "FINISHED"
            assert history(uri, run, "train/loss") == [(e, 1 / e) for e in range(1, 6)]
            assert history(uri, run, "value") == [(5, 0.5)]


def test_no_line_is_printed(uri, search, capfd):
    write(uri, search, record())
    assert capfd.readouterr().out == ""
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"


def test_nothing_is_written_without_the_lease(uri):
    lost = []

    def fence():
        if lost:
            raise LeaseError("another driver took over")

    tracker, parent = opened(uri, "fenced", fence)
    tracker.log(record())
    deadline = time.monotonic() + 30
    while tracker.pending and time.monotonic() < deadline:
        time.sleep(0.05)
    lost.append(True)
    before = everything(uri, parent)
    tracker.log(record(1))
    tracker.log(record(value=0.99, attempt=3))
    tracker.finish(metrics={"best": 1.0}, tags={}, status="FAILED")
    assert tracker.close(10), "what was queued is dropped"
    assert everything(uri, parent) == before


def test_a_tracker_without_the_lease_opens_nothing(uri):
    def fence():
        raise LeaseError("another driver took over")

    with pytest.raises(LeaseError):
        opened(uri, "never-opened", fence)


def test_double_runs_are_deleted_and_the_first_is_kept(uri):
    tracker, parent = opened(uri, "doubled")
    tracker.log(record())
    assert tracker.close(10)
    (first,) = children(uri, parent)
    client = connect(uri)
    copied = {k: v for k, v in first.data.tags.items() if not k.startswith("mlflow.r")}
    for _ in range(2):
        client.create_run(first.info.experiment_id, tags=copied)
    assert len(children(uri, parent)) == 3
    again, _ = opened(uri, "doubled")
    assert again.delete_doubles() == 2
    assert again.delete_doubles() == 0
    assert [run.info.run_id for run in children(uri, parent)] == [first.info.run_id]
