"""What optuna-dashboard shows of a ledger, and that it can change nothing."""

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.tuner.in_process import finished_search
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.ledger.dashboard import ReadableStorage, application
from tuner.ledger.ledger import Ledger
from tuner.ledger.storage import opened

from ..faults.plans import plan
from ..faults.rehearsal import NAME
from ..faults.rehearsal import opened as begun

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)
STORED = Path(__file__).parents[2] / "stored" / "search" / "tuner.sql"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tuner.db'}"


@pytest.fixture
def shown() -> Iterator[ReadableStorage]:
    with opened(finished_search().locations.storage) as storage:
        yield ReadableStorage(storage)


def asked(path: str, method: str = "GET", *, url: str | None = None) -> tuple[str, Any]:
    """Return the status and the JSON of an answer of the dashboard."""
    pytest.importorskip("optuna_dashboard")
    answers: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    with application(url or finished_search().locations.storage) as app:
        body = b"".join(app(environ, lambda status, *_: answers.append(status)))
    return answers[0], json.loads(body)


def test_a_search_is_described_in_words(shown: ReadableStorage) -> None:
    (study,) = shown.get_all_studies()
    words = study.user_attrs
    assert words["data"] == "blobs (160 + 40 points)"
    assert words["methods"] == "kmeans, gmm"
    assert words["result"] == "5 complete"
    assert words["champion"].startswith("blobs version 1, promoted: 0.")
    assert words["champion"].endswith(" on the test split with 3 clusters")
    assert words["best trial"].startswith("trial ")
    assert {"finalist 1", "finalist 2"} <= words.keys()
    assert max(len(text) for text in words.values()) < 100
    assert study.system_attrs["study:metric_names"] == ["separation"]


def test_a_trial_has_short_attributes(shown: ReadableStorage) -> None:
    (study,) = shown.get_all_studies()
    for trial in shown.get_all_trials(study._study_id):
        labels = trial.user_attrs
        assert labels["method"] == trial.params["method"]
        assert (labels["K"], labels["device"], labels["epochs"]) == (3, "cpu", 1)
        assert labels["clusters in use"] > 0
        assert all(isinstance(value, int | float | str) for value in labels.values())


def test_what_an_earlier_version_stored_looks_the_same(url: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.executescript(STORED.read_text())
    with opened(url) as storage:
        view = ReadableStorage(storage)
        (study,) = view.get_all_studies()
        trials = view.get_all_trials(study._study_id)
    assert study.user_attrs["result"] == "none yet"
    assert len(trials) == 8
    failed = [trial for trial in trials if trial.state.name == "FAIL"]
    assert all(trial.user_attrs["reason"].startswith("worker_lost") for trial in failed)
    assert failed
    for trial in trials:
        assert trial.user_attrs["method"]


def test_parameters_of_a_single_method_have_no_prefix(url: str) -> None:
    with begun(url, plan("plain", trials=2)) as ledger:
        assert ledger.ask() is not None
    with opened(url) as storage:
        (trial,) = ReadableStorage(storage).get_all_trials(storage.get_study_id_from_name(NAME))
        (stored,) = storage.get_all_trials(storage.get_study_id_from_name(NAME))
    assert {f"plain.{name}" for name in trial.params} == stored.params.keys()
    assert trial.params.keys() == trial.distributions.keys()
    assert all(name.startswith("plain.") for name in stored.distributions), "it is a view"


def test_optuna_itself_sees_the_method_and_the_name_of_the_value(url: str) -> None:
    with begun(url, plan("plain", trials=2)) as ledger:
        assert ledger.ask() is not None
    study = optuna.load_study(study_name=NAME, storage=url)
    assert study.trials[0].user_attrs["method"] == "plain"
    assert study.metric_names == [Ledger.load(url, NAME).record["study"]["objective"]]


def test_every_write_is_refused(shown: ReadableStorage) -> None:
    (study,) = shown.get_all_studies()
    with pytest.raises(PermissionError, match="for reading only"):
        shown.delete_study(study._study_id)
    with pytest.raises(PermissionError, match="for reading only"):
        shown.create_new_trial(study._study_id)


def test_the_dashboard_answers(shown: ReadableStorage) -> None:
    (study,) = shown.get_all_studies()
    status, listed = asked("/api/studies")
    assert status.startswith("200")
    assert [each["study_name"] for each in listed["study_summaries"]] == ["done"]
    status, detail = asked(f"/api/studies/{study._study_id}")
    assert status.startswith("200")
    assert detail["objective_names"] == ["separation"]
    assert len(detail["trials"]) == 5
    assert "**blobs version 1**" in detail["note"]["body"]


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT"])
def test_the_dashboard_cannot_change_a_search(method: str, shown: ReadableStorage) -> None:
    (study,) = shown.get_all_studies()
    status, answer = asked(f"/api/studies/{study._study_id}", method)
    assert status == "403 Forbidden"
    assert "for reading only" in answer["reason"]
    assert shown.get_all_studies()


def test_a_note_that_somebody_edited_stays(url: str) -> None:
    with begun(url, plan("plain", trials=2)) as ledger:
        ledger.annotate("begun", replace=False)
        ledger.annotate("begun again", replace=False)
        assert note(url) == "begun"
        ledger.annotate("found", replace=True)
        assert note(url) == "found"
        with opened(url) as storage:
            study = storage.get_study_id_from_name(NAME)
            storage.set_study_system_attr(study, "dashboard:note_ver", 2)
            storage.set_study_system_attr(study, "dashboard:note_str:0", "mine")
        ledger.annotate("found", replace=True)
        assert note(url) == "mine"


def note(url: str) -> str:
    with opened(url) as storage:
        attributes = storage.get_study_system_attrs(storage.get_study_id_from_name(NAME))
    return str(attributes["dashboard:note_str:0"])
