import gc
import socket
import subprocess
import sys
import time

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import ServiceError, UsageError
from tuner.ledger.ledger import Ledger
from tuner.ledger.storage import search_names
from tuner.orchestration.status import load_status, status_of
from tuner.processes import pid_namespace
from tuner.sqlite import database_file

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def begun(folder):
    """A ledger with one trial of each state, as a driver on another machine left it."""
    url = f"sqlite:///{folder / 'tuner.db'}"
    study = {"methods": ["gmm"], "dataset": "digits", "objective": "score"}
    Ledger.create(url, "one", {"study": study, "trials": 9})
    written = optuna.load_study(study_name="one", storage=url)
    for value, reason in ((0.5, None), (0.7, None), (0.9, "collapsed")):
        trial = written.ask()
        trial.suggest_int("gmm.n_components", 5, 30)
        trial.set_user_attr("outcome", {"reason": reason, "sd": 0.01, "epoch": 3})
        written.tell(trial, value)
    failing = written.ask()
    failing.set_user_attr("outcome", {"reason": "RuntimeError: it broke"})
    written.tell(failing, state=TrialState.FAIL)
    running = written.ask()
    running.suggest_int("gmm.n_components", 5, 30)
    running.report(0.4, 12)
    return url, written


def test_a_search_reads_from_its_ledger_alone(tmp_path):
    url, _ = begun(tmp_path)
    seen = status_of(Ledger.load(url, "one"))
    assert (seen.search, seen.total, seen.done, seen.state) == ("one", 9, 4, "stopped")
    assert seen.trials == {"total": 5, "complete": 3, "pruned": 0, "failed": 1, "running": 1}
    assert seen.failures == {"RuntimeError": 1}
    assert [(one.number, one.value) for one in seen.best] == [(1, 0.7), (0, 0.5)]
    (under_way,) = seen.running
    assert (under_way.number, under_way.epoch, under_way.value) == (4, 12, 0.4)
    assert 5 <= under_way.params["n_components"] <= 30
    assert seen.to_mapping()["state"] == "stopped"


def test_reading_keeps_no_connection(tmp_path):
    url, _ = begun(tmp_path)
    seen = []
    gc.disable()
    try:
        for _ in range(5):
            load_status(url, "one")
            search_names(url)
            with pytest.raises(UsageError):
                load_status(url, "another")
            seen.append(connections(url))
    finally:
        gc.enable()
    assert seen == seen[:1] * 5


def connections(url):
    return [file.path for file in psutil.Process().open_files()].count(str(database_file(url)))


def test_a_driver_counts_until_its_lease_runs_out(tmp_path):
    url, written = begun(tmp_path)
    lease = {"owner": "host:1:a", "since": time.time(), "expires": time.time() + 60}
    written.set_user_attr("lease", lease)
    seen = status_of(Ledger.load(url, "one"))
    assert (seen.state, seen.driver) == ("running", "host:1:a")
    written.set_user_attr("lease", {**lease, "expires": time.time() - 1})
    seen = status_of(Ledger.load(url, "one"))
    assert (seen.state, seen.driver) == ("stopped", None)


def test_a_driver_of_this_machine_that_was_killed_is_none(tmp_path):
    url, written = begun(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lease = {
            "owner": f"{socket.gethostname()}:{process.pid}:a",
            "processes": pid_namespace(),
            "since": time.time(),
            "expires": time.time() + 60,
        }
        written.set_user_attr("lease", lease)
        assert status_of(Ledger.load(url, "one")).state == "running"
        process.kill()
    assert status_of(Ledger.load(url, "one")).state == "stopped"


def test_a_search_that_has_ended_is_done():
    done = finished_search()
    seen = status_of(Ledger.load(done.locations.storage, "done"), best=2)
    assert seen.state == "done"
    assert len(seen.best) == 2
    assert seen.result == done.result.to_mapping() | {"finalists": list(done.result.finalists)}
    assert seen.seconds > 0


def test_reading_creates_no_database(tmp_path):
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    assert search_names(url) == []
    with pytest.raises(UsageError, match=r"the ledger .*tuner.db does not exist"):
        Ledger.load(url, "one")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["tuner.db", "me:canary"])
def test_what_is_no_url_is_refused(url):
    for read in (search_names, lambda u: Ledger.load(u, "one")):
        with pytest.raises(UsageError, match="is not a database URL"):
            read(url)


def test_names_and_close_matches(tmp_path):
    url, _ = begun(tmp_path)
    assert search_names(url) == ["one"]
    with pytest.raises(UsageError, match="did you mean 'one'"):
        Ledger.load(url, "ona")


def test_a_database_of_an_unknown_kind_does_not_answer():
    with pytest.raises(ServiceError, match="TUNER_STORAGE"):
        search_names("nope://host/db")
