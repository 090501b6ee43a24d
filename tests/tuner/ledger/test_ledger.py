"""The record of truth, without Ray: who may write, what is handed out, what is stored."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tuner.errors import DiskError, LeaseError, ServiceError, UsageError
from tuner.ledger import lease as leases
from tuner.ledger import ledger as ledgers
from tuner.ledger import samplers
from tuner.ledger.ledger import Ledger
from tuner.ledger.storage import open_storage, search_names
from tuner.study.plan import Plan
from tuner.study.study import SAMPLERS, SCHEDULERS

from ..faults.plans import plan, record
from ..faults.rehearsal import (
    NAME,
    KilledError,
    bury,
    controller_of,
    deadly,
    essence,
    execute,
    opened,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def dead_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """All drivers of a test share its process: call the earlier ones dead."""
    monkeypatch.setattr(leases, "has_exited", lambda _: True)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    begun = opened(url, plan("plain", trials=6))
    yield begun
    begun.close()


def tell(ledger: Ledger, number: int, value: float) -> None:
    ledger.tell(number, "COMPLETE", value=value, outcome={"reason": None})


def test_a_number_goes_from_asked_to_told(ledger: Ledger, url: str) -> None:
    suggestion = ledger.ask()
    assert suggestion is not None
    assert (suggestion.number, suggestion.method, suggestion.attempt) == (0, "plain", 0)
    assert not ledger.report(0, 1, 0.25)
    assert not ledger.report(0, 2, 0.5)
    ledger.tell(0, "COMPLETE", value=0.5, outcome={"reason": None, "sd": 0.1})
    for seen in (ledger, Ledger.load(url, NAME)):
        (entry,) = seen.trials()
        assert (entry.state, entry.value, dict(entry.intermediate_values)) == (
            "COMPLETE",
            0.5,
            {1: 0.25, 2: 0.5},
        )
        assert entry.outcome == {"reason": None, "sd": 0.1}
        assert entry.ended is not None
        assert entry.started <= entry.ended
        assert seen.remaining() == 5


def test_the_preset_comes_first_and_whole(ledger: Ledger) -> None:
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    assert first.params == {"width": 1.0, "n_components": 5}
    assert second.params != first.params


def test_every_method_begins_with_its_preset(url: str) -> None:
    study = plan("plain", "forked", "small", trials=5)
    ledger = opened(url, study)
    suggestions = [ledger.ask() for _ in range(3)]
    assert [t and t.method for t in suggestions] == ["plain", "forked", "small"]
    assert suggestions[1] is not None
    assert suggestions[1].params == {"kind": "rough", "width": 2.0}
    ledger.close()


def test_conditions_hold_for_every_proposal(url: str) -> None:
    ledger = opened(url, plan("plain", "forked", trials=40, sampler="random"))
    seen = set()
    while (suggestion := ledger.ask()) is not None:
        ledger.tell(suggestion.number, "COMPLETE", value=0.1, outcome={})
        if suggestion.method == "forked":
            rough = suggestion.params["kind"] == "rough"
            assert ("width" in suggestion.params) == rough
            seen.add(rough)
        else:
            assert set(suggestion.params) == {"width", "n_components"}
    stored = ledger.study.trials
    assert all(key in ("method",) or "." in key for t in stored for key in t.params)
    assert seen == {True, False}
    ledger.close()


def test_nothing_is_asked_beyond_the_number_of_trials(ledger: Ledger) -> None:
    suggestions = [ledger.ask() for _ in range(7)]
    assert [t and t.number for t in suggestions] == [0, 1, 2, 3, 4, 5, None]


def test_a_method_without_free_settings_has_a_name(url: str) -> None:
    ledger = opened(url, plan("fixed", trials=1))
    suggestion = ledger.ask()
    assert suggestion is not None
    assert (suggestion.method, dict(suggestion.params)) == ("fixed", {})
    tell(ledger, 0, 0.5)
    assert Ledger.load(url, NAME).trials()[0].method == "fixed"
    ledger.close()


@pytest.mark.usefixtures("dead_owner")
def test_numbers_left_running_are_handed_out_first(url: str) -> None:
    study = plan("plain", trials=6)
    first = opened(url, study)
    left = [first.ask() for _ in range(3)]
    tell(first, 1, 0.3)
    first.report(2, 1, 0.1)
    bury(first)
    second = opened(url, study)
    again = [second.ask() for _ in range(3)]
    assert [t and (t.number, t.attempt) for t in again] == [(0, 1), (2, 1), (3, 0)]
    assert [t and t.params for t in again[:2]] == [
        left[0] and left[0].params,
        left[2] and left[2].params,
    ]
    assert not second.report(2, 1, 0.9), "the first report of a step counts"
    tell(second, 2, 0.4)
    assert dict(second.trial(2).intermediate_values) == {1: 0.1}
    assert second.trial(2).attempt == 1
    second.close()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.usefixtures("dead_owner")
def test_a_resumed_search_proposes_what_an_unbroken_one_does(sampler: str, tmp_path: Path) -> None:
    study = plan("plain", trials=14, sampler=sampler, scheduler="none", seed=3)
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("whole", "broken")]
    whole = opened(urls[0], study)
    execute(controller_of(study, whole, tmp_path))
    broken = opened(urls[1], study)
    for cut in (2, 12, 14):
        controller = controller_of(study, broken, tmp_path)
        while broken.remaining() > 14 - cut:
            spec = controller.next_trial()
            assert spec is not None
            controller.on_evaluation(spec.number, _done(spec))
            controller.on_end(spec.number, pruned=False)
        if cut < 14:
            assert broken.ask() is not None, "one is under way when the driver dies"
        bury(broken)
        broken = opened(urls[1], study)
    assert [e.params for e in broken.trials()] == [e.params for e in whole.trials()]
    assert broken.remaining() == 0
    whole.close()
    broken.close()


def _done(spec: Any) -> Any:
    from ..faults.rehearsal import evaluations

    *_, last = evaluations(spec)
    return last


def test_proposals_follow_the_seed_and_the_number(tmp_path: Path) -> None:
    proposals = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        ledger = opened(f"sqlite:///{tmp_path / name}.db", plan("plain", trials=4, seed=seed))
        suggestions = [ledger.ask() for _ in range(4)]
        proposals.append([t and dict(t.params) for t in suggestions])
        ledger.close()
    assert proposals[0] == proposals[1]
    assert proposals[0][0] == proposals[2][0], "the preset does not depend on the seed"
    assert proposals[0][1:] != proposals[2][1:]


def test_a_grid_is_walked_to_its_end_and_beyond(url: str, tmp_path: Path) -> None:
    study = plan("small", trials=7, sampler="grid", scheduler="none")
    ledger = opened(url, study)
    execute(controller_of(study, ledger, tmp_path), workers=2)
    cells = {tuple(sorted(e.params.items())) for e in ledger.trials()}
    assert len(cells) == 4
    assert ledger.remaining() == 0
    ledger.close()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_ends_a_search(scheduler: str, url: str, tmp_path: Path) -> None:
    study = plan("plain", trials=30, scheduler=scheduler, sampler="random")
    ledger = opened(url, study)
    execute(controller_of(study, ledger, tmp_path), workers=3)
    states = [e.state for e in ledger.trials()]
    assert states.count("COMPLETE") + states.count("PRUNED") == 30
    assert (states.count("PRUNED") > 0) == (scheduler != "none")
    best = max(e.value or 0.0 for e in ledger.trials())
    assert best > 0.9
    ledger.close()


def test_a_pruned_trial_keeps_its_curve_and_has_no_value(url: str, tmp_path: Path) -> None:
    study = plan("plain", trials=30, sampler="random")
    ledger = opened(url, study)
    execute(controller_of(study, ledger, tmp_path))
    pruned = [e for e in Ledger.load(url, NAME).trials() if e.state == "PRUNED"]
    assert pruned
    for entry in pruned:
        assert entry.value is None
        assert entry.intermediate_values
        assert entry.outcome["epoch"] == max(entry.intermediate_values)
    for trial in optuna.load_study(study_name=NAME, storage=url).trials:
        if trial.state.name == "PRUNED":
            assert trial.value == trial.intermediate_values[trial.last_step]
    ledger.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_stored_that_is_none(value: float, ledger: Ledger, url: str) -> None:
    ledger.ask()
    assert not ledger.report(0, 1, value)
    assert ledger.trial(0).intermediate_values == {}
    with pytest.raises(ValueError, match="give a finite number"):
        ledger.tell(0, "COMPLETE", value=value, outcome={})
    with pytest.raises(ValueError, match="JSON"):
        ledger.tell(0, "FAIL", value=None, outcome={"metrics": {"loss": value}})
    assert Ledger.load(url, NAME).trials()[0].state == "RUNNING"


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_trials_are_stopped_by_their_own_method_alone(scheduler: str, tmp_path: Path) -> None:
    alike = _stops(scheduler, f"sqlite:///{tmp_path / 'a.db'}", {"plain": 0.5, "forked": 0.5})
    apart = _stops(scheduler, f"sqlite:///{tmp_path / 'b.db'}", {"plain": 0.9, "forked": 0.1})
    assert apart == alike, "how good the other method is does not matter"
    for method, stops in apart.items():
        assert not stops[0], f"{method} begins and is compared with nothing"
        assert any(stops), f"later trials of {method} are worse"


def _stops(scheduler: str, url: str, level: dict[str, float]) -> dict[str, list[bool]]:
    """Return which trials of each method are stopped, whose values lie about its level."""
    ledger = opened(url, plan("plain", "forked", trials=60, scheduler=scheduler, sampler="random"))
    stopped: dict[str, list[bool]] = {method: [] for method in level}
    while (suggestion := ledger.ask()) is not None:
        method, number = suggestion.method, suggestion.number
        value = level[method] - 0.001 * number  # the first of each method is its best
        stop = any(ledger.report(number, step, value) for step in range(1, 10))
        state = "PRUNED" if stop else "COMPLETE"
        ledger.tell(number, state, value=None if stop else value, outcome={})
        stopped[method].append(stop)
    ledger.close()
    return stopped


def test_an_outcome_is_stored_once(ledger: Ledger) -> None:
    ledger.ask()
    tell(ledger, 0, 0.5)
    other = ledger._storage
    with pytest.raises(LeaseError, match="another driver has ended a trial"):
        ledger._write(
            lambda _: other.set_trial_state_values(ledger._ids[0], optuna.trial.TrialState.FAIL)
        )
    assert ledger.trial(0).state == "COMPLETE"


@pytest.mark.usefixtures("dead_owner")
@pytest.mark.parametrize("methods", [("plain",), ("plain", "forked")])
@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_rungs_survive_a_reopening(
    scheduler: str, methods: tuple[str, ...], tmp_path: Path
) -> None:
    study = plan(*methods, trials=20, scheduler=scheduler, sampler="random")
    whole = opened(f"sqlite:///{tmp_path / 'whole.db'}", study)
    execute(controller_of(study, whole, tmp_path))
    url = f"sqlite:///{tmp_path / 'broken.db'}"
    broken = opened(url, study)
    for done in (6, 12, 20):
        controller = controller_of(study, broken, tmp_path)
        while broken.remaining() > 20 - done:
            _one(controller)
        bury(broken)
        broken = opened(url, study)
    assert essence(broken.trials()) == essence(whole.trials())
    whole.close()
    broken.close()


def _one(controller: Any) -> None:
    from ..faults.rehearsal import evaluations

    spec = controller.next_trial()
    for evaluation in evaluations(spec):
        stop = controller.on_evaluation(spec.number, evaluation)
        if stop or evaluation.finished:
            controller.on_end(spec.number, pruned=stop)
            return


@pytest.mark.parametrize(("scheduler", "every"), [("asha", 14), ("median", 19)])
@pytest.mark.usefixtures("dead_owner")
def test_a_driver_may_die_between_any_two_writes(
    scheduler: str, every: int, tmp_path: Path
) -> None:
    assert _survives(scheduler, tmp_path, every) > 3


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["asha", "median"])
@pytest.mark.usefixtures("dead_owner")
@pytest.mark.fault("F1")
def test_a_driver_may_die_between_all_two_writes(scheduler: str, tmp_path: Path) -> None:
    assert _survives(scheduler, tmp_path, 1) > 30


def _survives(scheduler: str, folder: Path, every: int) -> int:
    """Kill a search after every n-th write, resume it, and compare; return the kills."""
    study = plan("plain", trials=8, scheduler=scheduler, sampler="tpe")
    whole = opened(f"sqlite:///{folder / 'whole.db'}", study)
    with deadly(whole, after=10**9) as count:
        execute(controller_of(study, whole, folder))
    expected = essence(whole.trials())
    assert any(row[1] == "PRUNED" for row in expected)
    whole.close()
    points = range(0, count[0], every)
    for after in points:
        url = f"sqlite:///{folder / f'{after}.db'}"
        broken = opened(url, study)
        with deadly(broken, after=after), pytest.raises(KilledError):
            execute(controller_of(study, broken, folder))
        bury(broken)
        resumed = opened(url, study)
        assert [e.number for e in resumed.trials()] == list(range(len(resumed.trials())))
        execute(controller_of(study, resumed, folder))
        assert essence(Ledger.load(url, NAME).trials()) == expected, f"killed after {after}"
        resumed.close()
        bury(resumed)
    return len(points)


def test_a_search_may_grow(ledger: Ledger, url: str) -> None:
    while (suggestion := ledger.ask()) is not None:
        tell(ledger, suggestion.number, 0.1)
    assert ledger.remaining() == 0
    ledger.resize(8)
    assert ledger.remaining() == 2
    suggestion = ledger.ask()
    assert suggestion is not None
    assert suggestion.number == 6
    assert Ledger.load(url, NAME).size == 8


def test_facts_are_noted(ledger: Ledger, url: str) -> None:
    assert ledger.attribute("finalists") is None
    ledger.set_attribute("finalists", {"0": {"score": 0.5}})
    assert Ledger.load(url, NAME).attribute("finalists") == {"0": {"score": 0.5}}


def test_a_name_is_given_once(ledger: Ledger, url: str) -> None:
    with pytest.raises(UsageError, match=f"tuner resume {NAME}"):
        Ledger.create(url, NAME, record(plan("plain", trials=2)))
    assert search_names(url) == [NAME]


def test_resuming_nothing_suggests(ledger: Ledger, url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no search named 'reheersed'; did you mean '{NAME}'"):
        Ledger.load(url, "reheersed")
    with pytest.raises(UsageError, match=r"the ledger .*other\.db does not exist"):
        Ledger.load(f"sqlite:///{tmp_path / 'other.db'}", "x")
    assert not (tmp_path / "other.db").exists()


def test_a_driver_that_died_before_the_record_leaves_the_name_free(url: str) -> None:
    optuna.create_study(storage=open_storage(url), study_name=NAME, direction="maximize")
    assert search_names(url) == []
    with pytest.raises(UsageError, match="existing searches: none"):
        Ledger.load(url, NAME)
    ledger = Ledger.create(url, NAME, record(plan("plain", trials=2)))
    assert ledger.size == 2


def test_a_second_driver_is_refused_and_told_who_holds_the_search(
    ledger: Ledger, url: str
) -> None:
    with pytest.raises(LeaseError, match=rf"driven by {ledger.lease.owner} for \d+ s") as caught:
        opened(url, plan("plain", trials=6))
    assert caught.value.exit_code == 75
    assert str(os.getpid()) in ledger.lease.owner
    assert ledger.ask() is not None, "the owner is not disturbed"


def test_a_lease_that_is_given_back_is_free_at_once(ledger: Ledger, url: str) -> None:
    ledger.close()
    second = opened(url, plan("plain", trials=6))
    second.close()


def test_of_many_drivers_one_gets_the_search(url: str) -> None:
    ledgers = [Ledger.create(url, NAME, record(plan("plain", trials=6)))]
    ledgers += [Ledger.load(url, NAME) for _ in range(5)]
    barrier, refused = threading.Barrier(len(ledgers)), []

    def reach(ledger: Ledger) -> None:
        barrier.wait()
        try:
            ledger.lease.acquire()
        except LeaseError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=reach, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == len(ledgers) - 1
    assert sum(ledger.lease.is_held for ledger in ledgers) == 1
    for ledger in ledgers:
        ledger.close()


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def lease_of(ledger: Ledger, clock: Clock) -> leases.Lease:
    return leases.Lease(ledger._storage.engine, ledger._study_id, ledger.name, clock=clock)


def test_a_lease_that_ran_out_changes_hands_and_fences_its_owner(url: str) -> None:
    clock = Clock()
    ledger = Ledger.create(url, NAME, record(plan("plain", trials=6)))
    asleep, next_one = lease_of(ledger, clock), lease_of(ledger, clock)
    asleep.acquire()
    asleep._stop.set()  # no one renews it: the process is stopped
    with pytest.raises(LeaseError):
        next_one.acquire()
    clock.now += leases.LEASE_SECONDS + 1
    next_one.acquire()
    with pytest.raises(LeaseError, match="took over"):
        asleep.check()
    next_one.check()
    asleep.release()
    with pytest.raises(LeaseError, match=next_one.owner):
        lease_of(ledger, clock).acquire()
    next_one.release()


def test_a_driver_that_slept_goes_on_where_no_one_took_over(url: str) -> None:
    clock = Clock()
    ledger = Ledger.create(url, NAME, record(plan("plain", trials=6)))
    asleep = lease_of(ledger, clock)
    asleep.acquire()
    asleep._stop.set()
    clock.now += 10 * leases.LEASE_SECONDS
    asleep.check()
    with pytest.raises(LeaseError, match=asleep.owner):
        lease_of(ledger, clock).acquire()
    asleep.release()


def test_a_lease_is_renewed_in_the_background(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEW_SECONDS", 0.01)
    ledger = Ledger.create(url, NAME, record(plan("plain", trials=6)))
    ledger.lease.acquire()
    first = json.loads(ledger.lease._read())
    deadline = time.monotonic() + 20
    while json.loads(ledger.lease._read())["expires"] == first["expires"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ledger.close()


def owner_of(process: int, host: str = "") -> dict[str, Any]:
    import socket

    host = host or socket.gethostname()
    now = time.time()
    return {
        "owner": f"{host}:{process}:abcdef01",
        "processes": leases.pid_namespace(),
        "since": now - 5,
        "expires": now + 50,
    }


def held(url: str, owner: dict[str, Any]) -> Ledger:
    ledger = Ledger.create(url, NAME, record(plan("plain", trials=6)))
    ledger.set_attribute("lease", owner)
    return ledger


def test_a_dead_owner_of_this_machine_is_followed_at_once(url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ledger = held(url, owner_of(process.pid))
    ledger.lease.acquire()
    ledger.close()


def test_an_owner_that_no_one_waited_for_is_dead(url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # it has ended, and stands as a zombie until it is waited for
    time.sleep(0.2)
    ledger = held(url, owner_of(process.pid))
    ledger.lease.acquire()
    ledger.close()
    process.wait()
    process.stdout.close()


def test_a_process_number_that_was_given_out_again_is_no_owner(url: str) -> None:
    owner = owner_of(os.getpid())
    owner["since"] -= 10**6  # long before this process began
    ledger = held(url, owner)
    ledger.lease.acquire()
    ledger.close()


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"processes": "pid:[1]"}])
def test_of_another_machine_or_container_only_time_can_tell(
    url: str, elsewhere: dict[str, str]
) -> None:
    owner = owner_of(2**22 + 1, elsewhere.get("host", ""))
    owner["processes"] = elsewhere.get("processes", owner["processes"])
    ledger = held(url, owner)
    with pytest.raises(LeaseError, match=owner["owner"]):
        ledger.lease.acquire()


def test_a_locked_file_is_waited_for(ledger: Ledger, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
    timer.start()
    began = time.monotonic()
    assert ledger.ask() is not None
    assert time.monotonic() - began > 0.5
    timer.join()
    other.close()


def test_a_database_that_is_gone_is_one_sentence(ledger: Ledger, tmp_path: Path) -> None:
    ledger.ask()
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        other.execute("DROP TABLE trial_intermediate_values")
    other.close()
    with pytest.raises(ServiceError, match=f"tuner resume {NAME}"):
        ledger.report(0, 1, 0.5)


def test_a_plan_is_what_its_record_says() -> None:
    study: Plan = plan("plain", trials=3)
    assert record(study)["identity"]["spaces"]["plain"]["space"]


def test_a_sampler_whose_time_explodes_sees_the_best_and_the_newest_trials(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(samplers.MOST_SEEN, "gp", 6)
    seen: list[list[int]] = []
    real = samplers.excerpt

    def watched(study: Any, most: Any) -> Any:
        found = real(study, most)
        trials = found.get_trials(deepcopy=False)
        ended = [t for t in trials if "outcome" in t.user_attrs]
        seen.append(sorted(int(t.user_attrs["outcome"]["epoch"]) for t in ended))
        return found

    monkeypatch.setattr(ledgers, "excerpt", watched)
    study = plan("plain", trials=12, sampler="gp", scheduler="none")
    ledger = opened(url, study)
    for _ in range(12):
        suggestion = ledger.ask()
        assert suggestion is not None
        number = suggestion.number
        value = 1.0 if number in (1, 2) else number / 100
        ledger.tell(number, "COMPLETE", value=value, outcome={"epoch": number})
    assert seen[6] == [0, 1, 2, 3, 4, 5]
    assert seen[9] == [1, 2, 6, 7, 8], "the third best is among the newest"
    entries = ledger.trials()
    assert [e.number for e in entries] == list(range(12))
    assert len({e.params["width"] for e in entries}) == 12
    ledger.close()
    assert [e.params for e in Ledger.load(url, ledger.name).trials()] == [
        e.params for e in entries
    ]


def test_a_folder_that_is_missing_is_one_of_files(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="choose another folder"):
        open_storage(f"sqlite:///{tmp_path / 'missing' / 'tuner.db'}")


def test_a_ledger_that_another_version_of_optuna_wrote_is_a_sentence(url: str) -> None:
    open_storage(url)
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.execute("update alembic_version set version_num = 'v2.6.0.a'")
        database.commit()
    with pytest.raises(ServiceError, match=r"cannot open the ledger .* no longer compatible"):
        open_storage(url)
