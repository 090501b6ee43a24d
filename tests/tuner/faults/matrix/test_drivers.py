"""Rows F1, F2, F3 and F21: drivers that are killed, interrupted, or two at a time."""

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from ..locations import Ended, Field, family, halt, wait_until
from .conftest import planted
from .support import begin, check_points, check_whole, idle, moments, outcomes, reach, trial_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]
SIZE = 12
ALONE = idle(SIZE, workers=1, scheduler="asha")
AGAIN = ("--workers", "1", "--json")


@dataclass
class Whole:
    """A search that nobody killed."""

    result: dict[str, Any]
    outcomes: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    with planted(tmp_path_factory.mktemp("whole")) as field:
        ended = field.run(*begin(field, "whole", *ALONE))
        assert ended.code == 0, ended.err
        return Whole(ended.result, outcomes(field.entries("whole")))


def check_same(field: Field, ended: Ended, whole: Whole) -> None:
    entries = check_whole(field, "killed", SIZE, ended)
    assert outcomes(entries) == whole.outcomes
    assert ended.result["best"] == whole.result["best"]
    for part in ("score", "trial", "version", "promoted"):
        assert ended.result["champion"][part] == whole.result["champion"][part]
    check_points(field, "killed")


@pytest.mark.fault("F1")
def test_f1_kills_among_the_trials_change_nothing(
    field: Field, whole: Whole, rng: random.Random
) -> None:
    complete: dict[int, Any] = {}
    for attempt, moment in enumerate(moments(rng, rng.randint(1, 3), 4, 60)):
        words = ("resume", "killed", *AGAIN) if attempt else begin(field, "killed", *ALONE)
        died = field.run("--die-after", str(moment), *words)
        assert died.code == -signal.SIGKILL, died.err
        entries = field.entries("killed")
        assert [e.number for e in entries] == list(range(len(entries)))
        for number, row in complete.items():
            assert outcomes(entries)[number] == row, "an outcome is for ever"
        complete = {e.number: outcomes(entries)[e.number] for e in entries if e.ended}
    stamps = {n: _stamp(field, n) for n in complete}
    ended = field.run("resume", "killed", *AGAIN)
    assert stamps == {n: _stamp(field, n) for n in complete}, "none is run twice"
    check_same(field, ended, whole)


@pytest.mark.fault("F1")
def test_f1_kills_of_finalists_and_registration_change_nothing(
    field: Field, whole: Whole, rng: random.Random
) -> None:
    places = [
        ("finalists", rng.randint(0, 3)),
        ("registration", rng.randint(0, 10)),
        ("promotion", rng.randint(0, 3)),
    ]
    for attempt, (place, writes) in enumerate(places):
        words = ("resume", "killed", *AGAIN) if attempt else begin(field, "killed", *ALONE)
        died = field.run("--die-in", f"{place}:{writes}", *words)
        assert died.code == -signal.SIGKILL, (place, writes, died.err)
    ended = field.run("resume", "killed", *AGAIN)
    check_same(field, ended, whole)


def _stamp(field: Field, number: int) -> tuple[int, bytes]:
    path = field.attempt("killed", number) / "metrics.jsonl"
    return path.stat().st_mtime_ns, path.read_bytes()


# two trials of twenty seconds
LONG = idle(2, epochs=200, pause=0.1)
EPOCHS = list(range(10, 201, 10))


def training(field: Field, begun: int) -> list[int]:
    """Wait until both long trials have trained on for a while; return where that began."""
    wait_until(lambda: all(len(field.starts(k)) == begun for k in (0, 1)))
    reached = [field.epoch("halted", k) for k in (0, 1)]
    wait_until(lambda: all(field.epoch("halted", k) > reached[k] + 10 for k in (0, 1)))
    return reached


def halted(field: Field, rng: random.Random, begun: int, *signals: int) -> tuple[int, str, str]:
    """Run the long search, send it signals, and return its exit code and what it said."""
    words = ("resume", "halted") if begun > 1 else begin(field, "halted", *LONG)
    with field.driver(*words) as driver:
        reached = training(field, begun)
        time.sleep(rng.uniform(0.0, 1.5))
        ours = family(driver.pid)
        began = time.monotonic()
        for n, signum in enumerate(signals):
            time.sleep(rng.uniform(0.1, 1.0) if n else 0.0)
            halt(driver.pid, signum)
        out, err = driver.communicate(timeout=60)
        print(f"{signals} took {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 30, "it takes 4 on a quiet machine"
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert not alive, "no process is left behind"
    assert "tuner resume halted" in err
    assert "Traceback" not in err
    assert [e.state for e in field.entries("halted")] == ["RUNNING", "RUNNING"]
    if len(signals) == 1:
        assert all(field.checkpoints("halted", k)[0] > reached[k] for k in (0, 1))
    return driver.returncode, out, err


def check_continued(field: Field, resumes: int) -> None:
    """Raise unless a last resume ends the long search, each trial where it had stopped."""
    ended = field.run("resume", "halted", "--json")
    entries = check_whole(field, "halted", 2, ended)
    assert {e.state for e in entries} == {"COMPLETE"}
    for number in (0, 1):
        began = [epoch for _, epoch in field.starts(number)]
        assert began[0] == 0
        assert began == sorted(began)
        assert len(began) == resumes + 1
        assert began[1] > 0
        assert [e.epoch for e in field.evaluations("halted", number)] == EPOCHS


@pytest.mark.fault("F2")
def test_f2_ctrl_c_saves_the_trials_and_says_how_to_go_on(
    field: Field, rng: random.Random
) -> None:
    code, _, err = halted(field, rng, 1, signal.SIGINT)
    assert code == 130, err
    assert "0 of 2 trials" in err or "2 of 2 trials" in err, "the table of trials is shown"
    check_continued(field, 1)


@pytest.mark.fault("F3")
def test_f3_sigterm_and_a_second_ctrl_c_leave_what_can_be_resumed(
    field: Field, rng: random.Random
) -> None:
    code, _, err = halted(field, rng, 1, signal.SIGTERM)
    assert code == 143, err
    code, _, err = halted(field, rng, 2, signal.SIGINT, signal.SIGINT)
    assert code == 130, err
    check_continued(field, 2)


@pytest.mark.fault("F3")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_f3_a_signal_while_the_search_starts(
    field: Field, rng: random.Random, signum: signal.Signals
) -> None:
    for attempt in range(4):
        name = f"early-{attempt}"
        words = begin(field, name, *idle(2, epochs=300, pause=0.1))
        with field.driver(*words, module="tuner") as driver:
            wait_until(lambda pid=driver.pid: _handles(pid, signal.SIGINT))
            delay = rng.uniform(0.5, 12.0)
            time.sleep(delay)
            ours = family(driver.pid)
            driver.send_signal(signum)
            out, err = driver.communicate(timeout=60)
        assert driver.returncode == 128 + signum, (delay, err)
        assert "Traceback" not in err, delay
        assert out == ""
        if field.exists(name):
            assert f"tuner resume {name}" in err, delay
        _, alive = psutil.wait_procs(ours, timeout=20)
        assert not alive, (delay, alive)


def _handles(pid: int, signum: int) -> bool:
    """Return whether a process has a handler for a signal, as Python's own is set first."""
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) >> (signum - 1) & 1)


@pytest.mark.fault("F21")
def test_f21_a_second_driver_is_refused_and_a_stale_one_fenced(
    field: Field, rng: random.Random
) -> None:
    words = idle(24, epochs=20, pause=0.1)
    with field.driver(*begin(field, "shared", *words)) as first:
        reach(field, "shared", rng.randint(2, 10), driver=first)
        first.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        assert field.ended("shared") < 24, "it was stopped too late"
        refused = field.run("resume", "shared")
        assert refused.code == 75, refused.err
        assert f":{first.pid}:" in refused.err
        time.sleep(max(0.0, stopped + 61 - time.monotonic()))
        second = field.run("resume", "shared", "--json")
        done = outcomes(check_whole(field, "shared", 24, second))
        os.kill(first.pid, signal.SIGCONT)
        _, err = first.communicate(timeout=120)
    assert first.returncode == 75, err
    assert "took over" in err
    assert outcomes(field.entries("shared")) == done
    assert field.wrong("shared") == []
    assert {len(runs) for runs in trial_runs(field, "shared").values()} == {1}
    check_points(field, "shared")
