"""Outcomes of trials, with a real ledger and without Ray."""

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
from tuner.ledger.outcomes import is_usable
from tuner.orchestration.controller import SearchController
from tuner.orchestration.failures import FailureCount
from tuner.orchestration.snapshot import SearchSnapshot, TrialRow
from tuner.study.plan import Plan
from tuner.study.seeds import trial_seeds
from tuner.training.evaluations import Evaluation
from tuner.training.trial_inputs import TrialSpec

from ..faults.plans import plan
from ..faults.rehearsal import NAME, Tracker, bury, controller_of, evaluations, execute, opened

Open = Callable[..., SearchController]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def begun(url: str, tmp_path: Path) -> Iterator[Open]:
    ledgers: list[Ledger] = []

    def begin(study: Plan | None = None, **options: Any) -> SearchController:
        study = plan("plain", trials=12, sampler="random") if study is None else study
        ledgers.append(opened(url, study))
        return controller_of(study, ledgers[-1], tmp_path, **options)

    yield begin
    for ledger in ledgers:
        ledger.close()


def tracker(controller: SearchController) -> Tracker:
    found: Any = controller._tracker
    assert isinstance(found, Tracker)
    return found


def failing(failure: str, detail: str = "") -> Callable[[TrialSpec], list[Evaluation]]:
    def run(spec: TrialSpec) -> list[Evaluation]:
        first = next(evaluations(spec))
        return [replace(first, finished=True, failure=failure, value=None, detail=detail)]

    return run


@pytest.mark.parametrize("workers", [1, 4])
def test_every_number_gets_one_outcome_in_ledger_and_tracking(begun: Open, workers: int) -> None:
    controller = begun()
    execute(controller, workers=workers)
    entries = controller.ledger.trials()
    assert [e.number for e in entries] == list(range(12))
    records = tracker(controller).records
    assert set(records) == {f"trial {n}" for n in range(12)}
    for entry in entries:
        record = records[f"trial {entry.number}"]
        assert (record.state, record.value) == (entry.state, entry.value)
        assert [epoch for epoch, _ in record.history] == sorted(entry.intermediate_values)
    assert {e.state for e in entries} == {"COMPLETE", "PRUNED"}
    assert controller.next_trial() is None


def test_the_ledger_comes_before_tracking(begun: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = begun()
    spec = controller.next_trial()
    assert spec is not None
    *_, last = evaluations(spec)
    controller.on_evaluation(0, last)

    def away(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(tracker(controller), "log", away)
    with pytest.raises(ConnectionError):
        controller.on_end(0, pruned=False)
    assert controller.ledger.trial(0).state == "COMPLETE"


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
    controller = begun()
    spec = controller.next_trial()
    assert spec is not None
    *_, last = evaluations(spec)
    controller.on_evaluation(0, replace(last, **change))
    controller.on_end(0, pruned=pruned)
    entry = controller.ledger.trial(0)
    assert (entry.state, entry.outcome["reason"], entry.value) == (state, reason, value)
    (row,) = controller.snapshot().rows
    assert (row.state, row.reason) == (state, reason)
    if state == "COMPLETE":
        assert is_usable(row) == is_usable(entry) == (reason is None)


def test_a_diverged_value_is_not_reported(begun: Open) -> None:
    controller = begun()
    spec = controller.next_trial()
    assert spec is not None
    *_, last = evaluations(spec)
    controller.on_evaluation(0, replace(last, value=0.0, failure="diverged"))
    assert controller.ledger.trial(0).intermediate_values == {}


def test_nan_is_not_stored(begun: Open) -> None:
    controller = begun()
    spec = controller.next_trial()
    assert spec is not None
    *_, last = evaluations(spec)
    controller.on_evaluation(0, replace(last, replicas=(0.5, float("nan"))))
    controller.on_end(0, pruned=False)
    assert controller.ledger.trial(0).outcome["replicas"] == [0.5, None]


def test_five_failures_in_a_row_close_the_search_with_one_detail(begun: Open) -> None:
    controller = begun()
    execute(controller, failing("ValueError: bad", detail="Traceback: it is bad"))
    assert controller.close_reason == "failures"
    summary = "5 of 5 failures were 'ValueError': Traceback: it is bad"
    assert controller.failures.summary == summary
    assert [e.state for e in controller.ledger.trials()] == ["FAIL"] * 5
    controller.end_remaining()
    assert controller.ledger.size == 5
    assert controller.ledger.remaining() == 0


def test_failures_between_successes_close_nothing(begun: Open) -> None:
    controller = begun(plan("plain", trials=12, sampler="random", scheduler="none"))
    bad = failing("ValueError: bad")
    execute(controller, lambda spec: evaluations(spec) if spec.number % 5 == 4 else bad(spec))
    assert controller.close_reason is None
    assert controller.ledger.remaining() == 0
    assert controller.snapshot().failures() == {"ValueError": 10}


def test_a_closed_search_leaves_no_number_open(begun: Open, url: str) -> None:
    controller = begun(plan("plain", trials=12, sampler="random", scheduler="none"))
    specs = [controller.next_trial() for _ in range(4)]
    for spec in specs[:2]:
        assert spec is not None
        controller.on_evaluation(spec.number, next(evaluations(spec)))
    controller.close("time budget")
    assert controller.next_trial() is None
    controller.end_remaining()
    entries = Ledger.load(url, NAME).trials()
    assert [e.state for e in entries] == ["PRUNED", "PRUNED", "FAIL", "FAIL"]
    assert {e.outcome["reason"] for e in entries} == {"time budget"}
    assert controller.ledger.size == 4
    assert controller.ledger.remaining() == 0


def test_numbers_that_an_earlier_driver_left_are_closed_as_well(
    begun: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "has_exited", lambda _: True)
    study = plan("plain", trials=12, sampler="random", scheduler="none")
    first = begun(study)
    specs = [first.next_trial() for _ in range(3)]
    assert specs[1] is not None
    _write(specs[1], [next(evaluations(specs[1]))])
    bury(first.ledger)
    second = begun(study)
    second.close("time budget")
    second.end_remaining()
    assert [e.state for e in second.ledger.trials()] == ["FAIL", "PRUNED", "FAIL"]
    assert second.ledger.remaining() == 0


def _write(spec: TrialSpec, written: list[Evaluation]) -> None:
    from dataclasses import asdict

    folder = Path(spec.folder)
    folder.mkdir(parents=True)
    lines = [json.dumps(asdict(evaluation)) + "\n" for evaluation in written]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_a_trial_that_is_taken_up_again_keeps_its_curve(
    begun: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "has_exited", lambda _: True)
    study = plan("plain", trials=2, scheduler="none")
    first = begun(study)
    spec = first.next_trial()
    assert spec is not None
    written = list(evaluations(spec))
    for evaluation in written[:4]:
        first.on_evaluation(0, evaluation)
    _write(spec, written[:4])
    bury(first.ledger)
    second = begun(study)
    again = second.next_trial()
    assert again == replace(spec, attempt=1), "the same settings, seeds and folder"
    for evaluation in written[2:]:  # its checkpoint was older than its last evaluation
        second.on_evaluation(0, evaluation)
    second.on_end(0, pruned=False)
    record = tracker(second).records["trial 0"]
    assert [epoch for epoch, _ in record.history] == [e.epoch for e in written]
    assert record.attempt == 1
    assert sorted(second.ledger.trial(0).intermediate_values) == [e.epoch for e in written]


@pytest.mark.parametrize("stopped", [False, True])
def test_evaluations_that_were_written_but_not_reported_are_reported(
    begun: Open, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = begun(plan("plain", trials=2, scheduler="none"))
    spec = controller.next_trial()
    assert spec is not None
    written = list(evaluations(spec))
    for evaluation in written[:3]:
        controller.on_evaluation(0, evaluation)
    _write(spec, written[:5])  # the checkpoint is of the fifth, which the worker died reporting
    controller.on_trial_lost(0, "the worker died: SIGKILL")
    assert controller.next_trial() == replace(spec, attempt=1)
    if stopped:
        report = controller.ledger.report
        monkeypatch.setattr(
            controller.ledger,
            "report",
            lambda n, e, v, final: report(n, e, v, final=final) or e == 4,
        )
    assert controller.on_evaluation(0, written[5]) == stopped
    reached = 4 if stopped else 6
    assert sorted(controller.ledger.trial(0).intermediate_values) == list(range(1, reached + 1))
    if stopped:
        controller.on_end(0, pruned=True)
        assert controller.ledger.trial(0).outcome["epoch"] == 4
    else:
        controller.on_evaluation(0, written[6])
        assert sorted(controller.ledger.trial(0).intermediate_values) == list(range(1, 8))


def outcomes(controller: SearchController) -> list[tuple[str, Any]]:
    return [(e.state, e.outcome.get("reason")) for e in controller.ledger.trials()]


def lost(controller: SearchController, number: int, *, times: int, detail: str = "") -> None:
    """Let the worker of a trial die some times; the trial is handed out again at once."""
    for _ in range(times):
        spec = controller.next_trial()
        assert spec is not None
        assert spec.number == number
        controller.on_trial_lost(number, detail)


def test_a_lost_worker_fails_its_number_alone_and_after_two_retries(begun: Open) -> None:
    controller = begun()
    controller.next_trial()
    controller.next_trial()
    controller.on_trial_lost(0, "the worker died: SIGKILL")
    lost(controller, 0, times=1)
    assert outcomes(controller) == [("RUNNING", None), ("RUNNING", None)]
    lost(controller, 0, times=1, detail="the worker died: SIGKILL")
    assert outcomes(controller) == [("FAIL", "worker_lost"), ("RUNNING", None)]
    expected = "1 of 1 failures were 'worker_lost': the worker died: SIGKILL"
    assert controller.failures.summary == expected


def test_a_loss_that_is_told_twice_counts_once(begun: Open) -> None:
    controller = begun()
    controller.next_trial()
    for _ in range(4):
        controller.on_trial_lost(0, "")
    assert outcomes(controller) == [("RUNNING", None)]


def test_a_trial_that_takes_too_long_is_run_once_again(begun: Open) -> None:
    controller = begun(trial_timeout=0.0)
    lost(controller, 0, times=2)
    assert outcomes(controller) == [("FAIL", "timeout")]


def test_workers_that_die_while_a_search_ends_fail_no_trial(begun: Open) -> None:
    controller = begun()
    lost(controller, 0, times=2)
    controller.next_trial()
    controller.close("interrupt")
    controller.on_trial_lost(0, "")
    assert outcomes(controller) == [("RUNNING", None)]


@pytest.mark.parametrize(
    ("states", "closed"),
    [
        ("EEEE", False),
        ("EEEEE", True),
        ("EPEPEPEPEP", True),  # an error hides behind the rung at which others were stopped
        ("DPDPDPDPDPDPDP", False),  # other settings may help
        ("EPEPEPEPCEP", False),
        ("C" + "EP" * 9, False),
        ("C" + "EP" * 10, True),
    ],
)
def test_errors_close_a_search_by_their_share(states: str, closed: bool) -> None:
    names: dict[str, Any] = {"C": "COMPLETE", "P": "PRUNED"}
    reasons = {"E": "ValueError: bad", "D": "diverged"}
    failures = FailureCount()
    for state in states:
        failures.add(names.get(state, "FAIL"), reasons.get(state), "")
    assert failures.too_many == closed


def test_the_most_frequent_failure_is_shown_with_its_first_explanation() -> None:
    failures = FailureCount()
    assert failures.summary == ""
    failures.add("FAIL", "diverged", "")
    for n in range(2):
        failures.add("FAIL", f"ValueError: {n}", f"Traceback {n}")
    assert failures.summary == "2 of 3 failures were 'ValueError': Traceback 0"


def test_memory_that_ran_out_on_the_machine_is_oom(begun: Open) -> None:
    controller = begun()
    for _ in range(3):
        assert controller.next_trial() is not None
        controller.requeue(
            "OutOfMemoryError: Task was killed due to the node running low on memory"
        )
    spec = controller.next_trial()
    assert spec is not None
    assert spec.number == 1, "the number that was there each time is given up"
    assert controller.ledger.trial(0).outcome["reason"] == "oom"


def test_numbers_that_are_taken_back_are_handed_out_again(begun: Open) -> None:
    controller = begun()
    before = [controller.next_trial() for _ in range(3)]
    controller.requeue("the run ended")
    again = [replace(spec, attempt=1) for spec in before if spec is not None]
    assert [controller.next_trial() for _ in range(3)] == again
    assert [e.attempt for e in controller.ledger.trials()] == [1, 1, 1]


def test_an_error_of_every_trial_keeps_the_numbers_open(begun: Open) -> None:
    controller = begun()
    controller.next_trial()
    error = UsageError("first")
    controller.abort(error)
    controller.abort(UsageError("second"))
    assert controller.error is error
    assert controller.close_reason == "error"
    assert controller.next_trial() is None
    assert controller.ledger.trial(0).state == "RUNNING"


def test_the_first_reason_to_close_counts(begun: Open) -> None:
    controller = begun()
    controller.close("interrupt")
    controller.close("time budget")
    assert controller.close_reason == "interrupt"


def test_a_spec_holds_all_that_a_worker_needs(begun: Open, tmp_path: Path) -> None:
    spec = begun().next_trial()
    assert spec is not None
    sent = json.loads(json.dumps(spec.to_mapping()))
    assert TrialSpec(**{**sent, "seeds": tuple(sent["seeds"])}) == spec
    assert spec.settings["width"] == 1.0
    assert spec.settings["epochs"] == 9
    assert spec.folder == str(tmp_path / "trial-00000")


def test_restarts_have_seeds_and_the_seeds_of_those_left_are_recorded(begun: Open) -> None:
    study = plan("plain", trials=1, scheduler="none")
    controller = begun(replace(study, study=replace(study.study, restarts=3)))
    spec = controller.next_trial()
    assert spec is not None
    replicas = study.study.replicas
    assert (spec.restarts, spec.replicas) == (3, replicas)
    assert len(set(spec.seeds)) == 3 * replicas
    assert spec.seeds[:replicas] == trial_seeds(study.study.seed, 0, replicas)
    *first, last = evaluations(spec)
    controller.on_evaluation(0, replace(first[0], seeds=spec.seeds[: spec.replicas]))
    running = tracker(controller).records["trial 0"]
    assert (running.seeds, running.tags["restarts"]) == ((), "3")
    left = spec.seeds[-spec.replicas :]
    controller.on_evaluation(0, replace(last, seeds=left))
    controller.on_end(0, pruned=False)
    assert tuple(tracker(controller).records["trial 0"].seeds) == left
    assert controller.ledger.trial(0).outcome["seeds"] == list(left)


def test_without_restarts_nothing_is_recorded_of_them(begun: Open) -> None:
    controller = begun(plan("plain", trials=1, scheduler="none"))
    execute(controller)
    record = tracker(controller).records["trial 0"]
    assert "restarts" not in record.tags
    assert record.seeds
    assert "seeds" not in controller.ledger.trial(0).outcome


def test_on_progress_gets_every_step(begun: Open) -> None:
    seen: list[SearchSnapshot] = []
    study = plan("plain", trials=5, scheduler="none", sampler="random")
    execute(begun(study, on_progress=seen.append))
    assert [s.done for s in seen] == sorted(s.done for s in seen)
    assert seen[-1].done == seen[-1].total == 5
    assert seen[0].eta is None
    first, *rest = seen[-1].best(5)
    assert all((row.value or 0.0) <= (first.value or 0.0) for row in rest)
    assert any(row.state == "RUNNING" and row.epoch == 3 for s in seen for row in s.rows)


def test_the_best_are_those_with_clusters() -> None:
    rows = (
        TrialRow(number=0, method="a", state="COMPLETE", value=0.4),
        TrialRow(number=1, method="a", state="COMPLETE", value=0.0, reason="collapsed"),
        TrialRow(number=2, method="a", state="PRUNED", value=0.9),
        TrialRow(number=3, method="a", state="FAIL", reason="diverged"),
        TrialRow(number=4, method="a", state="COMPLETE", value=-0.1),
        TrialRow(number=5, method="a", state="RUNNING", value=0.95),
    )
    snapshot = SearchSnapshot(total=9, rows=rows, seconds=10.0, finished_before=1)
    assert [row.number for row in snapshot.best(9)] == [0, 4]
    assert snapshot.done == 5
    assert snapshot.failures() == {"diverged": 1}


def test_a_controller_leaves_nothing_in_a_pickle(begun: Open) -> None:
    assert b"ledger" not in pickle.dumps(begun())


def test_a_running_trial_is_not_logged_at_every_evaluation(begun: Open) -> None:
    controller = begun(plan("plain", trials=1, scheduler="none"))
    logged: list[str] = []
    log = tracker(controller).log
    tracker(controller).log = lambda r: (logged.append(r.state), log(r))[1]  # type: ignore[method-assign]
    execute(controller)
    assert logged == ["RUNNING", "COMPLETE"]
