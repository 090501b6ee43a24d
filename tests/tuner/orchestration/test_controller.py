"""What becomes of trials, with a real ledger and without Ray."""

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuner.errors import UsageError
from tuner.ledger import lease
from tuner.ledger.ledger import Ledger
from tuner.orchestration.controller import Conductor, Row, Snapshot, is_usable
from tuner.study.study import Plan
from tuner.training.trial import Evaluation, Job

from ..faults.plans import plan
from ..faults.rehearsal import NAME, Tracker, bury, conductor_of, evaluations, execute, opened

Open = Callable[..., Conductor]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def begun(url: str, tmp_path: Path) -> Iterator[Open]:
    ledgers: list[Ledger] = []

    def begin(study: Plan | None = None, **options: Any) -> Conductor:
        study = plan("plain", trials=12, sampler="random") if study is None else study
        ledgers.append(opened(url, study))
        return conductor_of(study, ledgers[-1], tmp_path, **options)

    yield begin
    for ledger in ledgers:
        ledger.close()


def tracker(conductor: Conductor) -> Tracker:
    kept: Any = conductor._tracker
    assert isinstance(kept, Tracker)
    return kept


def failing(failure: str, detail: str = "") -> Callable[[Job], list[Evaluation]]:
    def said(job: Job) -> list[Evaluation]:
        one = next(evaluations(job))
        return [replace(one, finished=True, failure=failure, value=None, detail=detail)]

    return said


@pytest.mark.parametrize("workers", [1, 4])
def test_every_number_gets_one_outcome_in_ledger_and_tracking(begun: Open, workers: int) -> None:
    conductor = begun()
    execute(conductor, workers=workers)
    entries = conductor.ledger.entries()
    assert [e.number for e in entries] == list(range(12))
    records = tracker(conductor).records
    assert set(records) == {f"trial {n}" for n in range(12)}
    for entry in entries:
        record = records[f"trial {entry.number}"]
        assert (record.state, record.value) == (entry.state, entry.value)
        assert [epoch for epoch, _ in record.curve] == sorted(entry.curve)
    assert {e.state for e in entries} == {"COMPLETE", "PRUNED"}
    assert conductor.next_job() is None


def test_the_ledger_comes_before_tracking(begun: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    conductor = begun()
    job = conductor.next_job()
    assert job is not None
    *_, last = evaluations(job)
    conductor.evaluated(0, last)

    def away(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(tracker(conductor), "project", away)
    with pytest.raises(ConnectionError):
        conductor.finished(0, pruned=False)
    assert conductor.ledger.entry(0).state == "COMPLETE"


@pytest.mark.parametrize(
    ("change", "pruned", "state", "reason", "value"),
    [
        ({"value": 0.5}, False, "COMPLETE", None, 0.5),
        ({"value": 0.5}, True, "PRUNED", None, None),
        ({"value": 0.0, "failure": "collapsed"}, False, "COMPLETE", "collapsed", 0.0),
        ({"value": 0.0, "failure": "diverged"}, False, "FAIL", "diverged", None),
        ({"value": None, "failure": "collapsed"}, False, "FAIL", "collapsed", None),
        ({"value": None, "failure": "oom"}, False, "FAIL", "oom", None),
        ({"value": None, "failure": "ValueError: x"}, False, "FAIL", "ValueError: x", None),
        ({"value": None}, False, "FAIL", "no value", None),
    ],
)
def test_how_a_trial_ended_decides_its_state(
    begun: Open,
    change: dict[str, Any],
    pruned: bool,
    state: str,
    reason: str | None,
    value: float | None,
) -> None:
    conductor = begun()
    job = conductor.next_job()
    assert job is not None
    *_, last = evaluations(job)
    conductor.evaluated(0, replace(last, **change))
    conductor.finished(0, pruned=pruned)
    entry = conductor.ledger.entry(0)
    assert (entry.state, entry.outcome["reason"], entry.value) == (state, reason, value)
    (row,) = conductor.snapshot().rows
    assert (row.state, row.reason) == (state, reason)
    if state == "COMPLETE":
        assert is_usable(row) == is_usable(entry) == (reason is None)


def test_a_diverged_value_is_not_reported(begun: Open) -> None:
    conductor = begun()
    job = conductor.next_job()
    assert job is not None
    *_, last = evaluations(job)
    conductor.evaluated(0, replace(last, value=0.0, failure="diverged"))
    assert conductor.ledger.entry(0).curve == {}


def test_what_is_no_number_is_not_stored(begun: Open) -> None:
    conductor = begun()
    job = conductor.next_job()
    assert job is not None
    *_, last = evaluations(job)
    conductor.evaluated(0, replace(last, replicas=(0.5, float("nan"))))
    conductor.finished(0, pruned=False)
    assert conductor.ledger.entry(0).outcome["replicas"] == [0.5, None]


def test_five_failures_in_a_row_close_the_search_with_one_detail(begun: Open) -> None:
    conductor = begun()
    execute(conductor, failing("ValueError: bad", detail="Traceback: it is bad"))
    assert conductor.closing == "failures"
    assert conductor.detail == "Traceback: it is bad"
    assert [e.state for e in conductor.ledger.entries()] == ["FAIL"] * 5
    conductor.abandon()
    assert conductor.ledger.size == 5
    assert conductor.ledger.missing() == 0


def test_failures_between_successes_close_nothing(begun: Open) -> None:
    conductor = begun(plan("plain", trials=12, sampler="random", scheduler="none"))
    bad = failing("ValueError: bad")
    execute(conductor, lambda job: evaluations(job) if job.number % 5 == 4 else bad(job))
    assert conductor.closing is None
    assert conductor.ledger.missing() == 0
    assert conductor.snapshot().failures() == {"ValueError": 10}


def test_a_closed_search_leaves_no_number_open(begun: Open, url: str) -> None:
    conductor = begun(plan("plain", trials=12, sampler="random", scheduler="none"))
    jobs = [conductor.next_job() for _ in range(4)]
    for job in jobs[:2]:
        assert job is not None
        conductor.evaluated(job.number, next(evaluations(job)))
    conductor.close("time budget")
    assert conductor.next_job() is None
    conductor.abandon()
    entries = Ledger.reopen(url, NAME).entries()
    assert [e.state for e in entries] == ["PRUNED", "PRUNED", "FAIL", "FAIL"]
    assert {e.outcome["reason"] for e in entries} == {"time budget"}
    assert conductor.ledger.size == 4
    assert conductor.ledger.missing() == 0


def test_numbers_that_an_earlier_driver_left_are_closed_as_well(
    begun: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_is_gone", lambda _: True)
    study = plan("plain", trials=12, sampler="random", scheduler="none")
    first = begun(study)
    jobs = [first.next_job() for _ in range(3)]
    assert jobs[1] is not None
    _write(jobs[1], [next(evaluations(jobs[1]))])
    bury(first.ledger)
    second = begun(study)
    second.close("time budget")
    second.abandon()
    assert [e.state for e in second.ledger.entries()] == ["FAIL", "PRUNED", "FAIL"]
    assert second.ledger.missing() == 0


def _write(job: Job, said: list[Evaluation]) -> None:
    from dataclasses import asdict

    folder = Path(job.folder)
    folder.mkdir(parents=True)
    lines = [json.dumps(asdict(evaluation)) + "\n" for evaluation in said]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_a_trial_that_is_taken_up_again_keeps_its_curve(
    begun: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_is_gone", lambda _: True)
    study = plan("plain", trials=2, scheduler="none")
    first = begun(study)
    job = first.next_job()
    assert job is not None
    said = list(evaluations(job))
    for evaluation in said[:4]:
        first.evaluated(0, evaluation)
    _write(job, said[:4])
    bury(first.ledger)
    second = begun(study)
    again = second.next_job()
    assert again == job, "the same settings, seeds and folder"
    for evaluation in said[2:]:  # its checkpoint was older than its last evaluation
        second.evaluated(0, evaluation)
    second.finished(0, pruned=False)
    record = tracker(second).records["trial 0"]
    assert [epoch for epoch, _ in record.curve] == [e.epoch for e in said]
    assert record.attempt == 1
    assert sorted(second.ledger.entry(0).curve) == [e.epoch for e in said]


@pytest.mark.parametrize("stopped", [False, True])
def test_what_was_written_but_never_arrived_is_made_up_for(
    begun: Open, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor = begun(plan("plain", trials=2, scheduler="none"))
    job = conductor.next_job()
    assert job is not None
    said = list(evaluations(job))
    for evaluation in said[:3]:
        conductor.evaluated(0, evaluation)
    _write(job, said[:5])  # its checkpoint stands at the fifth, the worker died saying so
    conductor.mishap(0, "the worker died: SIGKILL")
    if stopped:
        known = conductor.ledger.report
        monkeypatch.setattr(
            conductor.ledger,
            "report",
            lambda n, e, v, final: known(n, e, v, final=final) or e == 4,
        )
    assert conductor.evaluated(0, said[5]) == stopped
    reached = 4 if stopped else 6
    assert sorted(conductor.ledger.entry(0).curve) == list(range(1, reached + 1))
    if stopped:
        conductor.finished(0, pruned=True)
        assert conductor.ledger.entry(0).outcome["epoch"] == 4
    else:
        conductor.evaluated(0, said[6])
        assert sorted(conductor.ledger.entry(0).curve) == list(range(1, 8))


def test_a_lost_worker_fails_its_number_alone(begun: Open) -> None:
    conductor = begun()
    conductor.next_job()
    conductor.next_job()
    conductor.mishap(0, "the worker died: SIGKILL")
    assert conductor.ledger.entry(0).state == "RUNNING", "Tune tries again elsewhere"
    conductor.lost(0)
    entries = conductor.ledger.entries()
    assert [(e.state, e.outcome.get("reason")) for e in entries] == [
        ("FAIL", "worker_lost"),
        ("RUNNING", None),
    ]
    assert conductor.detail == "the worker died: SIGKILL"


def test_memory_that_ran_out_on_the_machine_is_oom(begun: Open) -> None:
    conductor = begun()
    for _ in range(3):
        assert conductor.next_job() is not None
        conductor.requeue(
            "OutOfMemoryError: Task was killed due to the node running low on memory"
        )
    job = conductor.next_job()
    assert job is not None
    assert job.number == 1, "the number that was there each time is given up"
    assert conductor.ledger.entry(0).outcome["reason"] == "oom"


def test_numbers_that_are_taken_back_are_handed_out_again(begun: Open) -> None:
    conductor = begun()
    before = [conductor.next_job() for _ in range(3)]
    conductor.requeue("the run ended")
    assert [conductor.next_job() for _ in range(3)] == before
    assert [e.attempt for e in conductor.ledger.entries()] == [1, 1, 1]


def test_a_fault_of_all_keeps_the_numbers_open(begun: Open) -> None:
    conductor = begun()
    conductor.next_job()
    fault = UsageError("first")
    conductor.give_up(fault)
    conductor.give_up(UsageError("second"))
    assert conductor.fault is fault
    assert conductor.closing == "fault"
    assert conductor.next_job() is None
    assert conductor.ledger.entry(0).state == "RUNNING"


def test_the_first_reason_to_close_counts(begun: Open) -> None:
    conductor = begun()
    conductor.close("interrupt")
    conductor.close("time budget")
    assert conductor.closing == "interrupt"


def test_a_job_says_all_that_a_worker_needs(begun: Open, tmp_path: Path) -> None:
    job = begun().next_job()
    assert job is not None
    told = json.loads(json.dumps(job.to_mapping()))
    assert Job(**{**told, "seeds": tuple(told["seeds"])}) == job
    assert job.settings["width"] == 1.0
    assert job.settings["epochs"] == 9
    assert job.folder == str(tmp_path / "trial-00000")


def test_whoever_watches_sees_every_step(begun: Open) -> None:
    seen: list[Snapshot] = []
    study = plan("plain", trials=5, scheduler="none", sampler="random")
    execute(begun(study, watch=seen.append))
    assert [s.done for s in seen] == sorted(s.done for s in seen)
    assert seen[-1].done == seen[-1].total == 5
    assert seen[0].eta is None
    assert seen[-1].eta == 0.0
    first, *rest = seen[-1].best(5)
    assert all((row.value or 0.0) <= (first.value or 0.0) for row in rest)
    assert any(row.state == "RUNNING" and row.epoch == 3 for s in seen for row in s.rows)


def test_the_best_are_those_with_clusters() -> None:
    rows = (
        Row(number=0, method="a", state="COMPLETE", value=0.4),
        Row(number=1, method="a", state="COMPLETE", value=0.0, reason="collapsed"),
        Row(number=2, method="a", state="PRUNED", value=0.9),
        Row(number=3, method="a", state="FAIL", reason="diverged"),
        Row(number=4, method="a", state="COMPLETE", value=-0.1),
        Row(number=5, method="a", state="RUNNING", value=0.95),
    )
    snapshot = Snapshot(total=9, rows=rows, seconds=10.0, finished_before=1)
    assert [row.number for row in snapshot.best(9)] == [0, 4]
    assert snapshot.done == 5
    assert snapshot.eta == pytest.approx(10.0 / 4 * 4)
    assert snapshot.failures() == {"diverged": 1}


def test_a_conductor_leaves_nothing_in_a_pickle(begun: Open) -> None:
    assert b"ledger" not in pickle.dumps(begun())


def test_a_running_trial_is_not_told_at_every_evaluation(begun: Open) -> None:
    conductor = begun(plan("plain", trials=1, scheduler="none"))
    told: list[str] = []
    kept = tracker(conductor).project
    tracker(conductor).project = lambda r: (told.append(r.state), kept(r))[1]  # type: ignore[method-assign]
    execute(conductor)
    assert told == ["RUNNING", "COMPLETE"]
