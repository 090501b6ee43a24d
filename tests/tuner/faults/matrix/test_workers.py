"""Rows F4, F5, F17 to F20: workers that are killed, and trials that fail, hang or diverge."""

import random
import shutil
from collections import Counter

import psutil
import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from ..locations import Field, wait_until
from .support import begin, calm_seed, check_whole, idle, kinds, reach

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]
# two trials of a minute, saved every 30 seconds
LONG = idle(2, epochs=600, pause=0.1)
EPOCHS = list(range(30, 601, 30))


@pytest.mark.fault("F4")
def test_f4_a_trial_goes_on_where_its_worker_was_lost(field: Field, rng: random.Random) -> None:
    lost = rng.randrange(2)
    kept = 1 - lost
    with field.driver(*begin(field, "lost", *LONG)) as driver:
        wait_until(lambda: field.starts(kept))
        for losses in (1, 2, 3):
            wait_until(lambda n=losses: len(field.starts(lost)) == n)
            goal = field.epoch("lost", lost) + 30 * rng.randrange(2)
            wait_until(lambda goal=goal: field.epoch("lost", lost) >= goal)
            psutil.Process(field.starts(lost)[-1][0]).kill()
        saved = wait_until(lambda: field.checkpoints("lost", kept))[0]
        assert len(field.starts(kept)) == 1, "the other one is untouched"
        psutil.Process(field.starts(kept)[0][0]).kill()
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, (out, err)
    entries = field.entries("lost")
    assert (entries[kept].state, entries[kept].attempt) == ("COMPLETE", 1)
    assert sorted(entries[kept].intermediate_values) == EPOCHS
    assert [e.epoch for e in field.evaluations("lost", kept)] == EPOCHS
    assert [epoch for _, epoch in field.starts(kept)] == [0, saved]
    assert (entries[lost].state, entries[lost].outcome["reason"]) == ("FAIL", "worker_lost")
    assert field.wrong("lost") == []


@pytest.mark.fault("F4")
def test_f4_a_worker_lost_between_two_trials_costs_none(field: Field, rng: random.Random) -> None:
    after = rng.sample(range(1, 14), 4)
    with field.driver(*begin(field, "between", *idle(16, workers=1, pause=0.1))) as driver:
        for number in sorted(after):
            reach(field, "between", number, driver=driver)
            for process in psutil.Process(driver.pid).children(recursive=True):
                if _is_worker(process, field, number):
                    process.kill()
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, (out, err)
    entries = field.entries("between")
    assert Counter(e.state for e in entries) == {"COMPLETE": 16}
    assert field.wrong("between") == []


def _is_worker(process: psutil.Process, field: Field, number: int) -> bool:
    """Return whether a process has trained the trial before a number, or trains that one."""
    started = field.starts(number - 1) + field.starts(number)
    return process.pid in {pid for pid, _ in started}


@pytest.mark.fault("F5")
@pytest.mark.fault("F17")
@pytest.mark.fault("F18")
def test_f5_f17_f18_a_bad_trial_has_its_reason_and_the_search_goes_on(
    field: Field, rng: random.Random
) -> None:
    faults, size = "none/none/memory/nan/collapse", 24
    seed = calm_seed(rng, faults, size)
    words = (*idle(size, sampler="random"), "--set", f"fault={faults}", "--seed", str(seed))
    ended = field.run(*begin(field, "bad", *words, "--set", f"at={rng.randint(1, 4)}"))
    entries = check_whole(field, "bad", size, ended)
    reasons = {"none": None, "memory": "oom", "nan": "diverged", "collapse": "collapsed"}
    states = {"none": "COMPLETE", "memory": "FAIL", "nan": "FAIL", "collapse": "COMPLETE"}
    for entry, fault in zip(entries, kinds(seed, faults, size), strict=True):
        # the stripes may miss all points without any fault
        assert entry.outcome["reason"] in (reasons[fault], "collapsed"), fault
        assert entry.state == states[fault]
        if fault == "nan":
            assert entry.value is None
    usable = {e.number for e in entries if e.outcome["reason"] is None}
    assert ended.result["best"]["number"] in usable
    assert {f["trial"] for f in ended.result["finalists"]} <= usable


@pytest.mark.fault("F17")
def test_f17_a_learning_rate_of_a_million_is_never_best(field: Field, rng: random.Random) -> None:
    space = field.folder / "rates.yaml"
    space.write_text("space:\n  learning_rate: {choice: [0.001, 1000000.0]}\n")
    small = ("hidden_size=16", "prior_hidden_size=16", "hidden_layers=1", "n_components=3")
    words = ["-m", "gmvae", "--trials", "8", "--replicas", "2", "--epochs", "4"]
    words += ["--sampler", "random", "--scheduler", "none", "--space", str(space)]
    words += [word for setting in small for word in ("--set", setting)]
    ended = field.run(*begin(field, "rates", *words, "--seed", str(rng.randrange(1000))))
    entries = check_whole(field, "rates", 8, ended)
    wild = [e for e in entries if e.params.get("learning_rate", 0.0) == 1e6]
    assert wild, "the other rate was drawn eight times"
    assert {e.state for e in wild} == {"FAIL"}
    assert {e.outcome["reason"] for e in wild} == {"diverged"}
    assert ended.result["best"]["number"] not in {e.number for e in wild}
    assert ended.result["champion"]["trial"] not in {e.number for e in wild}


@pytest.mark.fault("F19")
def test_f19_a_hung_trial_is_killed_and_tried_once_more(field: Field, rng: random.Random) -> None:
    faults, size = "none/none/hang", 6
    seed = calm_seed(rng, faults, size)
    words = (*idle(size, sampler="random", pause=0.1), "--trial-timeout", "5s")
    words += ("--seed", str(seed), "--set", f"fault={faults}", "--set", f"at={rng.randint(1, 4)}")
    ended = field.run(*begin(field, "hung", *words))
    entries = check_whole(field, "hung", size, ended)
    for entry, fault in zip(entries, kinds(seed, faults, size), strict=True):
        if fault == "hang":
            assert (entry.state, entry.outcome["reason"]) == ("FAIL", "timeout")
            assert len(field.starts(entry.number, seed=seed)) == 2, "it is tried once more"
        else:
            assert entry.state == "COMPLETE"


@pytest.mark.fault("F20")
def test_f20_a_search_in_which_all_fails_ends_soon_and_says_why_once(
    field: Field, rng: random.Random
) -> None:
    words = (*idle(60, workers=1), "--set", "fault=raise", "--set", f"at={rng.randint(0, 5)}")
    ended = field.run(*begin(field, "broken", *words))
    assert ended.code == 1
    assert ended.err.count("RuntimeError: the test asked for it") == 1
    entries = field.entries("broken")
    assert [e.state for e in entries] == ["FAIL"] * 5
    assert {e.outcome["reason"] for e in entries} == {"RuntimeError: the test asked for it"}
    again = field.run("resume", "broken", "--trials", "7")
    assert again.code == 1
    assert len(field.entries("broken")) == 7


@pytest.mark.fault("F20")
def test_f20_pruned_trials_do_not_hide_that_all_others_fail(
    field: Field, rng: random.Random
) -> None:
    words = (*idle(60, workers=1, epochs=9, scheduler="asha"), "--set", "fault=raise")
    words += ("--set", f"at={rng.randint(2, 3)}", "--seed", str(rng.randrange(1000)))
    ended = field.run(*begin(field, "hidden", *words))
    assert ended.code == 1, ended.err
    assert ended.err.count("RuntimeError: the test asked for it") == 1
    entries = field.entries("hidden")
    assert {e.state for e in entries} == {"FAIL", "PRUNED"}
    assert len(entries) < 60, "the budget is not burnt"


@pytest.mark.fault("a trial's files deleted while it trains")
def test_files_of_a_trial_that_are_gone_are_told_once(field: Field, rng: random.Random) -> None:
    victim = rng.randrange(8)
    with field.driver(*begin(field, "bare", *idle(10, workers=1, pause=0.2))) as driver:
        reach(field, "bare", victim + 1, driver=driver)
        shutil.rmtree(field.trial_folder("bare", victim))
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, (out, err)
    entries = field.entries("bare")
    assert {e.state for e in entries} == {"COMPLETE"}
    said = [wrong for wrong in field.wrong("bare") if f"trial {victim}" in wrong]
    assert len(field.wrong("bare")) <= 1, "what can no longer be had is said once"
    assert said == field.wrong("bare")
    assert field.run("resume", "bare").code == 0
