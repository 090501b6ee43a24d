"""What a search has found is registered later where MLflow was away, or has lost it."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.in_process import FinishedSearch, no_ray, run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import LeaseError, SyncError
from tuner.execution.cluster import Resources
from tuner.ledger.ledger import Ledger
from tuner.orchestration.doctor import examine
from tuner.orchestration.search import resume
from tuner.orchestration.session import Session
from tuner.orchestration.sync import sync
from tuner.processes import pid_namespace
from tuner.tracking import connect, records

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

NAME = "late"


@pytest.fixture
def done(tmp_path: Path) -> FinishedSearch:
    return run_search(tmp_path, name=NAME)


def resumed(done: FinishedSearch, **locations: Any) -> Any:
    session = Session(
        locations=replace(done.locations, **locations),
        resources=Resources(),
        on_message=lambda _: None,
    )
    with no_ray():
        return resume(NAME, session)


def wrong(done: FinishedSearch) -> dict[str, str]:
    return {f.invariant: f.wrong for f in examine(NAME, done.locations) if not f.ok}


def ledger(done: FinishedSearch) -> Ledger:
    return Ledger.load(done.locations.storage, NAME)


def lose_mlflow(done: FinishedSearch) -> None:
    for path in done.folder.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(done.folder / "mlruns")


def postpone(done: FinishedSearch) -> None:
    """Leave the search as one whose end MLflow did not see."""
    lose_mlflow(done)
    result = {**done.result.to_mapping(), "champion": None, "pending": "it did not answer"}
    opened = ledger(done)
    opened.acquire_lease()
    opened.set_attribute("result", result)
    opened.close()


def run(done: FinishedSearch, command: str, *flags: str) -> Any:
    """Run a command in a process of its own, as this one has MLflow's old file open."""
    words = [sys.executable, "-m", "tuner", command, NAME, *done.flags, *flags]
    words += ["--artifacts", str(done.locations.artifacts)]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=done.folder)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("forget", [lose_mlflow, postpone])
def test_resuming_registers_what_mlflow_does_not_have(done: FinishedSearch, forget: Any) -> None:
    forget(done)
    result = json.loads(run(done, "resume", "--json"))
    assert result["champion"]["uri"] == done.result.champion.uri  # type: ignore[index]
    assert result["champion"]["promoted"]
    assert result["pending"] is None
    run(done, "sync")
    run(done, "doctor")


@pytest.mark.slow
@pytest.mark.parametrize("forget", [lose_mlflow, postpone])
def test_a_sync_does_all_of_it_and_is_harmless_twice(done: FinishedSearch, forget: Any) -> None:
    forget(done)
    for _ in range(2):
        assert "MLflow has all 7 runs" in run(done, "sync")
        run(done, "doctor")
    with closing(sqlite3.connect(done.folder / "mlflow.db")) as database:
        assert database.execute("SELECT name, version FROM model_versions").fetchall() == [
            ("blobs", 1)
        ]


def test_the_doctor_says_that_a_model_is_to_be_registered(done: FinishedSearch) -> None:
    postpone(done)
    assert f"tuner sync {NAME}" in wrong(done)["the search has a result"]


def test_a_server_that_stays_away_is_a_sync_error_with_the_result(done: FinishedSearch) -> None:
    with pytest.raises(SyncError, match=f"tuner sync {NAME}") as caught:
        resumed(done, tracking_uri="http://127.0.0.1:9")
    assert caught.value.exit_code == 5
    assert caught.value.result.best == done.result.best  # type: ignore[attr-defined]
    assert ledger(done).attribute("result")["champion"] is not None, "nothing is forgotten"


def test_a_sync_needs_no_data(done: FinishedSearch) -> None:
    (done.folder / "blobs.npz").unlink()
    assert sync(NAME, done.locations).runs == 7
    assert wrong(done) == {}


def test_a_sync_writes_nothing_while_a_driver_holds_the_search(done: FinishedSearch) -> None:
    driver = ledger(done)
    driver.acquire_lease()
    with pytest.raises(LeaseError):
        sync(NAME, done.locations)
    driver.close()


def test_runs_keep_the_version_and_the_device_that_made_them(
    done: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tags(done)
    assert {run["tuner.device"] for run in before if run["tuner.role"] != "search"} == {"cpu"}
    assert all("tuner.code_version" in run for run in before)
    monkeypatch.setattr(records, "version", lambda _: "99")
    sync(NAME, done.locations)
    assert tags(done) == before


def tags(done: FinishedSearch) -> list[dict[str, str]]:
    client = connect(done.locations.tracking_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`tuner.search` = '{NAME}'")
    return sorted((dict(run.data.tags) for run in runs), key=lambda t: t["mlflow.runName"])


def test_files_that_are_gone_are_told_until_a_sync_has_taken_note(done: FinishedSearch) -> None:
    folder = done.locations.artifacts / NAME
    shutil.rmtree(folder / "trial-00002")
    shutil.rmtree(folder / "finalist-1")
    found = wrong(done)
    assert any("trial 2" in text and "tuner sync" in text for text in found.values())
    assert sync(NAME, done.locations).lost == ("trial-00002", "finalist-1")
    assert wrong(done) == {}


def test_promotions_that_were_cut_are_completed_by_a_sync(done: FinishedSearch) -> None:
    uri = done.locations.tracking_uri
    client = connect(uri)
    entry = (
        '{"ticket": 1, "owner": "%s:999999999:x", "processes": "%s", "since": 0, '
        '"aliases": {"previous": 1}}'
    )
    text = entry % (socket.gethostname(), pid_namespace())
    client.set_registered_model_tag("blobs", "tuner.promoting.x", text)
    assert list(wrong(done)) == ["no promotion was left half-way"]
    sync(NAME, done.locations)
    assert wrong(done) == {}
    assert dict(client.get_registered_model("blobs").aliases)["previous"] in ("1", 1)
