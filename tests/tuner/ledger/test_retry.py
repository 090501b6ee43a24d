import sqlite3

import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError, OperationalError

from tuner.errors import ServiceError
from tuner.ledger.ledger import Ledger
from tuner.ledger.retry import retried
from tuner.study.plan import prepare
from tuner.study.study import Study

URL = "postgresql://tuner:c4n4ry@host/tuner"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr("time.sleep", sleep)
    return clock


def away(message="server closed the connection"):
    return OperationalError("select 1", {}, psycopg.OperationalError(f"{message} ({URL})\nmore"))


def wrapped(cause):
    """Return the error that Optuna makes of one of its database."""
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = cause
    return error


def failing(times, error):
    """Return a call that fails so many times, and the list of what it was told."""
    told = []

    def ask(again):
        told.append(again)
        if len(told) <= times:
            raise error
        return "done"

    return ask, told


def test_an_answer_is_returned_at_once():
    ask, told = failing(0, away())
    assert retried(ask) == "done"
    assert told == [False]


@pytest.mark.parametrize("error", [away(), wrapped(away())])
def test_a_database_that_comes_back_is_asked_again(error):
    ask, told = failing(5, error)
    assert retried(ask) == "done"
    assert told == [False, *[True] * 5]


def test_a_database_that_stays_away_ends_in_a_sentence(no_waiting):
    ask, told = failing(1000, wrapped(away()))
    with pytest.raises(ServiceError, match=r"unreachable for 60 s.*TUNER_STORAGE") as caught:
        retried(ask)
    assert 50 < no_waiting[0] <= 60
    assert 10 < len(told) < 30
    assert "c4n4ry" not in str(caught.value)
    assert "more" not in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "error",
    [
        wrapped(OperationalError("", {}, sqlite3.OperationalError("database is locked"))),
        wrapped(IntegrityError("", {}, psycopg.IntegrityError("twice"))),
        StorageInternalError("something else"),
    ],
)
def test_other_errors_are_not_waited_for(error):
    ask, told = failing(1, error)
    with pytest.raises(type(error)):
        retried(ask)
    assert told == [False]


@pytest.fixture
def ledger(tmp_path):
    plan = prepare(Study(methods=("kmeans",), trials=3, name="blobs", sampler="random"))
    record = {"study": plan.study.to_mapping(), "identity": {}, "trials": 3, "schema": 1}
    opened = Ledger.create(f"sqlite:///{tmp_path / 'tuner.db'}", "blobs", record)
    opened.start(plan)
    yield opened
    opened.close()


def stored(ledger):
    """Return what the database itself holds of a search."""
    return ledger._storage.get_all_trials(ledger._study_id)


def deaf(monkeypatch, ledger, name):
    """Let a write reach the database once and its answer be lost."""
    original, lost = getattr(ledger._storage, name), []

    def call(*arguments, **named):
        answer = original(*arguments, **named)
        if not lost:
            lost.append(answer)
            raise wrapped(away())
        return answer

    monkeypatch.setattr(ledger._storage, name, call)
    return lost


def test_a_number_of_which_nothing_was_heard_is_one_number(ledger, monkeypatch):
    lost = deaf(monkeypatch, ledger, "create_new_trial")
    assert [ledger.ask().number for _ in range(3)] == [0, 1, 2]
    assert ledger.ask() is None
    assert [trial.number for trial in stored(ledger)] == [0, 1, 2]
    assert lost, "the first answer was lost"


def test_an_outcome_that_arrived_unheard_is_not_written_twice(ledger, monkeypatch):
    number = ledger.ask().number
    lost = deaf(monkeypatch, ledger, "set_trial_state_values")
    ledger.tell(number, "COMPLETE", value=0.5, outcome={"reason": None})
    (trial,) = stored(ledger)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert lost, "the first answer was lost"


def test_an_outcome_that_did_not_arrive_is_written(ledger, monkeypatch):
    number = ledger.ask().number
    write, attempts = failing(3, wrapped(away()))
    original = ledger._storage.set_trial_state_values

    def late(*arguments):
        write(True)
        return original(*arguments)

    monkeypatch.setattr(ledger._storage, "set_trial_state_values", late)
    ledger.tell(number, "FAIL", value=None, outcome={"reason": "oom"})
    (trial,) = stored(ledger)
    assert trial.state == TrialState.FAIL
    assert len(attempts) == 4
