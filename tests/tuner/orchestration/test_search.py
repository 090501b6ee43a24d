"""A search from its description to its end, with stand-ins for Ray and MLflow.

The ledger, the signals and the order of events are real.
"""

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from tuner import interrupts
from tuner.errors import (
    DataError,
    DiskError,
    InterruptedSearchError,
    LeaseError,
    NoUsableTrialError,
    ServiceError,
    SyncError,
    UsageError,
)
from tuner.execution.cluster import Resources
from tuner.ledger.ledger import Ledger
from tuner.ledger.records import Cut
from tuner.ledger.storage import search_names
from tuner.orchestration import plans
from tuner.orchestration.controller import SearchController
from tuner.orchestration.locations import Locations
from tuner.orchestration.plans import plan_of, search_spaces
from tuner.orchestration.result import Champion, Result
from tuner.orchestration.search import resume
from tuner.orchestration.session import Session
from tuner.orchestration.status import status_of
from tuner.study.plan import Plan
from tuner.study.record import SCHEMA
from tuner.study.study import Study

from ..faults.plans import plan
from ..faults.rehearsal import evaluations, execute

search = importlib.import_module("tuner.orchestration.search")
RESULT = Result(
    search="s",
    counts={"total": 4},
    best={"number": 0},
    champion=Champion(
        name="x",
        version=1,
        uri="models:/x@champion",
        promoted=True,
        score=0.5,
        interval=(),
        n_components=3,
        trial=0,
    ),
    audit=None,
    seconds=1.0,
    tracking_uri="",
)


class Tracker:
    """Keeps in memory what a search logs."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.finished: list[str] = []
        self.timeout = -1.0
        self.arrives = True

    def log(self, record: Any) -> None:
        self.logged.append(record.key)

    def finish(self, *, status: str = "FINISHED", **_: Any) -> None:
        self.finished.append(status)

    def close(self, timeout: float) -> bool:
        self.timeout = timeout
        return self.arrives


class Executor:
    """A cluster in this thread."""

    device, nodes, workers = "cpu", 1, 1
    act: Callable[[SearchController], None] = staticmethod(execute)

    def __init__(self, resources: Resources, **_: object) -> None:
        del resources

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check_machines(self, *_: object) -> None:
        pass

    def put_data(self, *_: object, **__: object) -> None:
        pass

    def in_use(self) -> dict[str, tuple[float, float]]:
        return {}

    def run(self, controller: SearchController) -> None:
        type(self).act(controller)


class Stage:
    """Locations for searches, with stand-ins for everything that is slow."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locations = Locations(
            storage=f"sqlite:///{folder / 'tuner.db'}",
            tracking_uri="sqlite:///unused.db",
            artifacts=folder / "artifacts",
        )
        self.session = Session(
            locations=self.locations, resources=Resources(), on_message=lambda _: None
        )
        self.tracker, self.opened = Tracker(), 0
        self.plan = _plan("plain", trials=4, scheduler="none", sampler="random")
        self.finished = 0
        for module in (search, plans):
            monkeypatch.setattr(module, "prepare", lambda study, *_: self._prepared(study))
        monkeypatch.setattr(search, "check", lambda uri: None)
        monkeypatch.setattr(search, "open_tracker", self._open)
        monkeypatch.setattr(search, "is_settled", lambda *_: True)
        monkeypatch.setattr(search, "Finalizer", lambda *_, **__: SimpleNamespace(run=self._run))
        monkeypatch.setattr("tuner.execution.cluster.Cluster", Executor)
        self.does = lambda act: monkeypatch.setattr(Executor, "act", staticmethod(act))

    def search(self, name: str = "s") -> Result:
        return search.search(replace(self.plan.study, name=name), self.session)

    def ledger(self, name: str = "s") -> Ledger:
        return Ledger.load(self.locations.storage, name)

    def _prepared(self, study: Study) -> Plan:
        return replace(self.plan, study=study)

    def _open(self, *_: object) -> tuple[Tracker, str]:
        self.opened += 1
        return self.tracker, "run"

    def _run(self, *_: object, **__: object) -> Result:
        self.finished += 1
        return RESULT


def _plan(*methods: str, **settings: Any) -> Plan:
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    made = plan(*methods, **settings)
    data: Any = SimpleNamespace(
        fingerprint="0" * 64,
        name="none",
        train=points,
        test=points,
        shape=(2,),
        unit_interval=False,
        description="",
        notes=(),
        warnings=(),
    )
    return replace(made, dataset=data)


@pytest.fixture(autouse=True)
def forget_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test receives is not what ended the next one."""
    monkeypatch.setattr(interrupts, "_last", [signal.SIGINT])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


@pytest.fixture
def ended(stage: Stage) -> Stage:
    """A stage with a search that has come to its end."""
    stage.search()
    ledger = stage.ledger()
    ledger.set_attribute("result", RESULT.to_mapping())
    ledger.set_attribute("finalists", {"0": {}})
    stage.opened = stage.finished = 0
    stage.tracker.logged.clear()
    return stage


def test_a_search_runs_all_its_trials_and_finishes(stage: Stage) -> None:
    assert stage.search() == RESULT
    ledger = stage.ledger()
    assert ledger.remaining() == 0
    assert ledger.attribute("lease") is None, "the next driver need not wait"
    assert stage.tracker.logged.count("trial 3") >= 1
    assert stage.tracker.timeout == pytest.approx(60.0)


def test_a_search_is_named_after_method_and_data(stage: Stage) -> None:
    for n in (1, 2):
        search.search(stage.plan.study, stage.session)
        assert search_names(stage.locations.storage)[-1] == f"plain-none-{n}"
    stage.plan = _plan("plain", "small", trials=2)
    search.search(stage.plan.study, stage.session)
    assert "several-none-1" in search_names(stage.locations.storage)


def test_a_name_that_is_taken_is_refused_before_anything_is_logged(ended: Stage) -> None:
    with pytest.raises(UsageError, match="tuner resume s"):
        ended.search()
    assert ended.opened == 0


def test_what_has_ended_is_returned_at_once(ended: Stage) -> None:
    for trials in (None, 4):
        found = resume("s", ended.session, trials=trials)
        assert found.to_mapping() == json.loads(json.dumps(RESULT.to_mapping()))
    assert (ended.opened, ended.finished) == (0, 0)


def test_a_search_may_grow_but_not_shrink(ended: Stage) -> None:
    with pytest.raises(
        UsageError, match="--trials 3: search 's' already has 4 trials, so give at least that many"
    ):
        resume("s", ended.session, trials=3)
    assert resume("s", ended.session, trials=6) == RESULT
    ledger = ended.ledger()
    assert (ledger.size, ledger.remaining(), ended.finished) == (6, 0, 1)
    assert ledger.attribute("finalists") == {}, "they are chosen again"
    assert ledger.attribute("result") is None, "only the conclusion writes one"


def test_resuming_nothing_suggests(ended: Stage) -> None:
    with pytest.raises(UsageError, match="existing searches: s"):
        resume("ss", ended.session)


def test_every_trial_that_ended_is_logged_again(stage: Stage) -> None:
    def half(controller: SearchController) -> None:
        for _ in range(2):
            spec = controller.next_trial()
            assert spec is not None
            *_, last = evaluations(spec)
            controller.on_evaluation(spec.number, last)
            controller.on_end(spec.number, pruned=False)
        raise ServiceError("the cluster went away")

    stage.does(half)
    with pytest.raises(ServiceError):
        stage.search()
    stage.tracker.logged.clear()
    stage.does(lambda _: None)  # the first driver may have died before it logged them
    resume("s", stage.session)
    assert stage.tracker.logged == ["trial 0", "trial 1"]


def test_a_second_driver_is_refused_before_anything_is_logged(stage: Stage) -> None:
    def meanwhile(_: SearchController) -> None:
        opened = stage.opened
        with pytest.raises(LeaseError, match=str(os.getpid())):
            resume("s", stage.session)
        assert stage.opened == opened

    stage.does(meanwhile)
    with pytest.raises(NoUsableTrialError):
        stage.search()


def test_a_lease_is_released_when_mlflow_does_not_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.does(lambda c: c.abort(DiskError("full")))
    with pytest.raises(DiskError):
        stage.search()

    def away(*_: object) -> None:
        raise ServiceError("MLflow does not answer")

    monkeypatch.setattr(search, "open_tracker", away)
    with pytest.raises(ServiceError):
        resume("s", stage.session)
    assert stage.ledger().attribute("lease") is None


def test_an_error_of_every_trial_is_raised_and_the_search_resumable(stage: Stage) -> None:
    def full(controller: SearchController) -> None:
        controller.next_trial()
        controller.abort(DiskError("cannot write 3 bytes"))

    stage.does(full)
    with pytest.raises(DiskError, match="3 bytes"):
        stage.search()
    assert [e.state for e in stage.ledger().trials()] == ["RUNNING"]
    stage.does(execute)
    assert resume("s", stage.session) == RESULT
    assert stage.ledger().remaining() == 0


def test_a_search_without_a_usable_trial_says_why(stage: Stage) -> None:
    def bad(controller: SearchController) -> None:
        execute(
            controller,
            lambda spec: [
                replace(e, value=None, failure="diverged", finished=True)
                for e in [next(evaluations(spec))]
            ],
        )

    stage.does(bad)
    with pytest.raises(NoUsableTrialError, match="4 of 4 failures were 'diverged'") as caught:
        stage.search()
    assert caught.value.exit_code == 1
    assert stage.tracker.finished == ["FAILED"]
    assert stage.tracker.timeout == pytest.approx(60.0)


def test_a_time_budget_that_ends_before_any_score_says_so(stage: Stage) -> None:
    stage.does(lambda controller: controller.close("time budget"))
    with pytest.raises(NoUsableTrialError, match="the time budget ran out before any was scored"):
        stage.search()
    assert stage.ledger().remaining() == 0


def test_a_tracker_that_lags_behind_is_a_sync_error(stage: Stage) -> None:
    stage.tracker.arrives = False
    with pytest.raises(
        SyncError, match="MLflow has not received all of it: run `tuner sync s`"
    ) as caught:
        stage.search()
    assert caught.value.exit_code == 5
    assert caught.value.result is not None
    assert caught.value.result.counts["total"] == stage.ledger().size
    assert stage.ledger().remaining() == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_trials_save(stage: Stage, signum: int) -> None:
    saved = []

    def interrupted(controller: SearchController) -> None:
        controller.next_trial()
        os.kill(os.getpid(), signum)
        assert controller.close_reason == "interrupt"
        assert controller.next_trial() is None
        saved.append(True)

    before = signal.getsignal(signum)
    stage.does(interrupted)
    with pytest.raises(
        InterruptedSearchError, match=r"4 of 4 trials to go: continue with `tuner resume s`"
    ) as e:
        stage.search()
    assert e.value.exit_code == 128 + signum
    assert saved
    assert signal.getsignal(signum) == before
    assert stage.tracker.finished == ["KILLED"]
    assert stage.tracker.timeout < 10
    ledger = stage.ledger()
    assert [x.state for x in ledger.trials()] == ["RUNNING"]
    assert ledger.attribute("lease") is None
    stage.does(execute)
    assert resume("s", stage.session) == RESULT


def test_the_second_signal_ends_all_at_once(stage: Stage) -> None:
    def stubborn(controller: SearchController) -> None:
        controller.next_trial()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    stage.does(stubborn)
    began = time.monotonic()
    with pytest.raises(InterruptedSearchError) as caught:
        stage.search()
    assert time.monotonic() - began < 30
    assert caught.value.exit_code == 143, "the first signal is the reason"


def test_a_signal_ends_what_is_no_trial(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> Result:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        return RESULT

    monkeypatch.setattr(search, "Finalizer", lambda *_, **__: SimpleNamespace(run=run))
    with pytest.raises(InterruptedSearchError, match="0 of 4 trials to go") as caught:
        stage.search()
    assert caught.value.exit_code == 143


def test_another_thread_than_the_main_one_gets_no_signals(stage: Stage) -> None:
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(stage.search()))
    thread.start()
    thread.join()
    assert found == [RESULT]


def test_a_time_budget_closes_the_search(stage: Stage) -> None:
    def slow(controller: SearchController) -> None:
        spec = controller.next_trial()
        assert spec is not None
        *_, last = evaluations(spec)
        controller.on_evaluation(0, last)
        controller.on_end(0, pruned=False)
        controller.next_trial()
        deadline = time.monotonic() + 30
        while controller.close_reason is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    stage.does(slow)
    stage.session = replace(stage.session, time_budget=0.2)
    assert stage.search() == RESULT
    ledger = stage.ledger()
    assert [e.state for e in ledger.trials()] == ["COMPLETE", "FAIL"]
    assert (ledger.size, ledger.remaining()) == (2, 0)
    assert ledger.ended_early == Cut(asked=4, why="the time budget ran out")
    seen = status_of(ledger)
    assert (seen.state, seen.done, seen.total) == ("stopped", 2, 4)
    stage.does(execute)
    stage.session = replace(stage.session, time_budget=None)
    assert resume("s", stage.session) == RESULT
    assert (stage.ledger().size, stage.ledger().ended_early) == (4, None)


@pytest.fixture
def begun(stage: Stage) -> Stage:
    """A stage with a search that was cut off."""
    stage.does(lambda c: c.abort(DiskError("full")))
    with pytest.raises(DiskError):
        stage.search()
    stage.does(execute)
    return stage


def test_a_search_resumes_on_what_it_began_with(begun: Stage) -> None:
    ledger = begun.ledger()
    assert plan_of(ledger).identity() == ledger.record["identity"]
    assert resume("s", begun.session) == RESULT


def test_other_data_are_refused(begun: Stage) -> None:
    begun.plan = replace(begun.plan)  # its outline is made anew
    begun.plan.dataset.fingerprint = "1" * 64  # type: ignore[misc]
    with pytest.raises(
        DataError, match=r"fingerprint 0{12}… but digits now has fingerprint 1{12}…"
    ):
        resume("s", begun.session)
    _untouched(begun)


def test_another_space_is_refused_with_the_difference(begun: Stage) -> None:
    branch = begun.plan.branches["plain"]
    space = branch.space.without({"n_components": 3})
    other = replace(branch, space=space, base={**branch.base, "epochs": 8})
    begun.plan = replace(begun.plan, branches={"plain": other})
    with pytest.raises(UsageError) as caught:
        resume("s", begun.session)
    message = str(caught.value)
    assert "plain.n_components was {'int': [3, 9]} and is 5" in message
    assert "plain.epochs was 9 and is 8" in message
    assert "width" not in message, "only differences are listed"
    assert "digest" not in message
    _untouched(begun)


def test_a_record_of_a_newer_schema_is_refused(begun: Stage) -> None:
    ledger = begun.ledger()
    ledger.set_attribute("record", {**ledger.record, "schema": 99})
    with pytest.raises(UsageError, match=r"schema 99.*upgrade"):
        resume("s", begun.session)


def _untouched(stage: Stage) -> None:
    assert stage.opened == 1, "only the search itself opened a tracker"
    assert stage.ledger().trials() == []
    assert stage.ledger().attribute("lease") is None


def test_the_record_is_plain(begun: Stage) -> None:
    record = begun.ledger().record
    assert json.loads(json.dumps(record)) == record
    assert record["schema"] == SCHEMA
    assert record["searched"]["plain.width"] == {"float": [0.1, 10.0], "log": True}


def test_a_real_study_resumes(tmp_path: Path) -> None:
    from tuner.study.plan import prepare

    made = prepare(Study(methods=("kmeans", "gmm"), trials=4, name="real"))
    record = {
        "study": made.study.to_mapping(),
        "identity": made.identity(),
        "searched": search_spaces(made.outline),
        "trials": 4,
        "schema": SCHEMA,
    }
    ledger = Ledger.create(f"sqlite:///{tmp_path / 'tuner.db'}", "real", record)
    again = plan_of(ledger)
    assert again.identity() == made.identity()
    assert tuple(again.branches) == ("kmeans", "gmm")
