"""`tuner report`, and the same file in MLflow."""

import os

import optuna
import pytest

from tests.tuner.in_process import finished_search, run_search
from tests.tuner.mlflow_store import OLD_LOADER
from tests.tuner.reports.parsed_page import parsed
from tuner.ledger.ledger import Ledger
from tuner.orchestration import search_report
from tuner.orchestration.sync import sync
from tuner.tracking import connect

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def flags(done):
    return ["--storage", done.locations.storage, "--artifacts", done.locations.artifacts]


def logged(done, folder):
    """Return the text of the report on the parent run in MLflow."""
    client = connect(done.locations.tracking_uri)
    (parent,) = client.search_runs(["1"], "tags.`tuner.role` = 'search'")
    path = client.download_artifacts(parent.info.run_id, "report.html", str(folder))
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_a_report_is_written_to_the_current_folder(tuner, here):
    done = finished_search()
    ran = tuner("report", "done", *flags(done))
    assert (ran.code, ran.out, ran.err) == (0, "done.html\n", "")
    assert [path.name for path in here.iterdir()] == ["done.html"]
    page = parsed((here / "done.html").read_text(encoding="utf-8"))
    champion = done.result.champion
    assert f"{champion.name} version {champion.version}" in page.texts[""]
    assert champion.uri in page.texts["load"]
    assert {e.section for e in page.elements if e.tag == "img"} == {"pictures", "audit"}
    assert f"{champion.score:.3f}" in page.texts["finalists"]
    assert "columns: 4 numbers, each column standardised" in page.texts["about"]


def test_an_existing_file_is_replaced_at_once(tuner, here):
    done = finished_search()
    (here / "a.html").write_text("before")
    (here / "b.html").hardlink_to(here / "a.html")
    ran = tuner("report", "done", "--out", "a.html", *flags(done))
    assert (ran.code, ran.out) == (0, "a.html\n")
    assert (here / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (here / "b.html").read_text() == "before", "the old file was not written into"
    assert sorted(path.name for path in here.iterdir()) == ["a.html", "b.html"]


def test_an_unknown_search_is_refused(tuner, here):
    ran = tuner("report", "dona", *flags(finished_search()))
    assert ran.code == 2
    assert "no search named 'dona'; did you mean 'done'?" in ran.error_message
    ran = tuner("report", "done", "--storage", f"sqlite:///{here}/none.db")
    assert ran.code == 2
    assert not list(here.iterdir())


def test_what_cannot_be_written_is_refused(tuner, here):
    done = finished_search()
    ran = tuner("report", "done", "--out", here / "none" / "a.html", *flags(done))
    assert ran.code == 74
    assert "none/a.html (No such file or directory): choose an existing" in ran.error_message
    ran = tuner("report", "done", "--out", "a" * 300, *flags(done))
    assert ran.code == 74
    ran = tuner("report", "done", "--out", here, *flags(done))
    assert ran.code == 2
    assert "is a folder" in ran.error_message
    assert not list(here.iterdir())


def test_files_that_are_gone_leave_the_rest(tuner, here):
    done = finished_search()
    ran = tuner("report", "done", "--storage", done.locations.storage, "--artifacts", here / "no")
    assert ran.code == 0
    page = parsed((here / "done.html").read_text(encoding="utf-8"))
    assert "No pictures were drawn." in page.texts["pictures"]
    assert page.charts("finalists") != []


def test_pictures_that_cannot_be_read_leave_the_rest(tuner, here, monkeypatch):
    def fails(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(search_report, "finalist_pictures", fails)
    assert tuner("report", "done", *flags(finished_search())).code == 0
    assert "could not be read" in (here / "done.html").read_text(encoding="utf-8")


def test_a_search_that_runs_is_reported(tuner, here):
    url = f"sqlite:///{here / 'tuner.db'}"
    study = {"methods": ["gmm"], "dataset": "digits", "objective": "score"}
    Ledger.create(url, "one", {"study": study, "trials": 9}).close()
    written = optuna.load_study(study_name="one", storage=url)
    trial = written.ask()
    trial.suggest_int("gmm.n_components", 5, 30)
    trial.report(0.4, 12)
    failing = written.ask()
    failing.set_user_attr("outcome", {"reason": "RuntimeError: postgresql://me:canary@host"})
    written.tell(failing, state=optuna.trial.TrialState.FAIL)
    assert tuner("report", "one", "--storage", url).code == 0
    text = (here / "one.html").read_text(encoding="utf-8")
    page = parsed(text)
    assert "tuner resume one continues it" in page.texts[""]
    assert "RuntimeError" in page.texts["failures"]
    assert "canary" not in text


def test_a_search_logs_its_report(tmp_path):
    done = finished_search()
    page = parsed(logged(done, tmp_path))
    assert "Search done" in page.texts[""]
    assert done.result.champion.uri in page.texts["load"]
    assert "img" in page.tags


def test_sync_logs_the_report_again(tmp_path):
    done = run_search(tmp_path, name="again")
    client = connect(done.locations.tracking_uri)
    (parent,) = client.search_runs(["1"], "tags.`tuner.role` = 'search'")
    place = parent.info.artifact_uri.removeprefix("file://")
    os.remove(os.path.join(place, "report.html"))
    assert sync("again", done.locations).faults == ()
    assert "Search again" in parsed(logged(done, tmp_path)).texts[""]


def test_a_report_that_fails_stops_nothing(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("it broke")

    monkeypatch.setattr(search_report, "search_facts", fails)
    done = run_search(tmp_path, name="sad")
    assert done.result.champion.promoted
    faults = sync("sad", done.locations).faults
    assert faults == ("the report was not written (RuntimeError: it broke)",)


def test_a_search_without_usable_trials_is_not_called_running(tuner, here):
    url = f"sqlite:///{here / 'tuner.db'}"
    study = {"methods": ["gmm"], "dataset": "digits", "objective": "score"}
    with Ledger.create(url, "one", {"study": study, "trials": 2}) as ledger:
        ledger.acquire_lease()
        path, faults = search_report.report_file(ledger, None, here / "files")
        assert faults == []
        assert "is not running" in parsed(path.read_text(encoding="utf-8")).texts[""]
        assert tuner("report", "one", "--storage", url).code == 0
    assert "It is still running." in (here / "one.html").read_text(encoding="utf-8")
