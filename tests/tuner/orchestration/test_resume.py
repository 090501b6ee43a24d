"""Searches whose processes are killed or interrupted, with real Ray, SQLite and MLflow."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tuner.ledger.records import TrialRecord
from tuner.orchestration.search import resume

from ..faults.locations import Field, family, forget_methods, halt, wait_until
from ..mlflow_store import OLD_LOADER

TINY = (
    *("-m", "gmvae", "--trials", "12", "--replicas", "2", "--epochs", "6"),
    *("--set", "hidden_size=16", "--set", "prior_hidden_size=16", "--set", "hidden_layers=1"),
)
IDLE = ("-m", "idle", "--replicas", "1")
pytestmark = [pytest.mark.timeout(1500), pytest.mark.filterwarnings(OLD_LOADER)]


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    made = Field(tmp_path)
    monkeypatch.syspath_prepend(made.plugin)
    forget_methods()
    yield made
    forget_methods()


def begin(field: Field, name: str, *arguments: str) -> tuple[str, ...]:
    return ("search", "-d", str(field.data), "--name", name, "--json", *arguments)


def outcomes(entries: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [
        (e.number, e.state, dict(e.params), e.value, dict(e.intermediate_values)) for e in entries
    ]


def test_a_small_search_has_a_champion_and_ends_once(field: Field) -> None:
    ended = field.run(*begin(field, "first", "-m", "kmeans,gmm", "--trials", "5"))
    assert ended.code == 0, ended.err
    assert ended.result["trials"]["total"] == 5
    assert ended.result["champion"]["promoted"]
    assert ended.result["champion"]["uri"] == "models:/blobs@champion"
    assert ended.result["best"]["score"] > 0.5
    began = time.monotonic()
    assert resume("first", field.session).to_mapping() == ended.result
    assert time.monotonic() - began < 20, "nothing is started for what has ended"
    assert field.wrong("first") == []


@pytest.mark.slow
def test_three_kills_change_nothing(field: Field) -> None:
    alone = ("--workers", "1", "--scheduler", "none", *TINY)
    whole = field.run(*begin(field, "whole", *alone))
    assert whole.code == 0, whole.err
    again = ("resume", "killed", "--workers", "1", "--json")
    moments = sorted(random.Random(3).sample(range(8, 60), 3))
    complete: dict[int, Any] = {}
    for attempt, moment in enumerate(moments):
        words = ("resume", "killed") if attempt else begin(field, "killed", *alone)
        died = field.run("--die-after", str(moment), *words)
        assert died.code == -signal.SIGKILL, died.err
        entries = field.entries("killed")
        assert [e.number for e in entries] == list(range(len(entries)))
        for number, row in complete.items():
            assert outcomes(entries)[number] == row, "an outcome is for ever"
        complete = {e.number: outcomes(entries)[e.number] for e in entries if e.ended}
    assert complete
    files = {n: _stamp(field, "killed", n) for n in complete}
    ended = field.run(*again)
    assert ended.code == 0, ended.err
    assert files == {n: _stamp(field, "killed", n) for n in complete}, "none is run twice"
    entries = field.entries("killed")
    assert [e.number for e in entries] == list(range(12))
    assert {e.state for e in entries} <= {"COMPLETE", "FAIL"}
    assert outcomes(entries) == outcomes(field.entries("whole"))
    for entry in entries:
        written = field.evaluations("killed", entry.number)
        assert {e.epoch: e.value for e in written if e.value is not None} == dict(
            entry.intermediate_values
        )
    assert ended.result["best"] == whole.result["best"]
    assert field.wrong("killed") == []


def _stamp(field: Field, name: str, number: int) -> tuple[int, bytes]:
    path = field.attempt(name, number) / "metrics.jsonl"
    return path.stat().st_mtime_ns, path.read_bytes()


@pytest.mark.slow
def test_a_search_whose_data_or_space_changed_is_refused(field: Field) -> None:
    died = field.run("--die-after", "12", *begin(field, "moved", *IDLE, "--trials", "8"))
    assert died.code == -signal.SIGKILL, died.err
    before = field.written()

    field.write_data(seed=1)
    refused = field.run("resume", "moved")
    assert refused.code == 3
    assert "moved" in refused.err
    assert "restore the data" in refused.err
    field.write_data()

    space = field.plugin / "idle_method.yaml"
    kept = space.read_text()
    space.write_text(kept.replace("[0.1, 1.0]", "[0.1, 0.9]"))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "idle.width was" in refused.err
    assert "1.0" in refused.err
    assert "0.9" in refused.err
    space.write_text(kept)

    code = field.plugin / "idle_method.py"
    source = code.read_text()
    code.write_text(source.replace('fault: str = setting("none"', 'fault: str = setting("nil"'))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "idle.fault was none and is nil" in refused.err
    code.write_text(source)

    offered = field.plugin.rename(field.plugin.with_name("away"))
    refused = field.run("resume", "moved")
    assert refused.code == 2
    assert "no method 'idle'" in refused.err
    offered.rename(field.plugin)

    refused = field.run("resume", "mooved")
    assert refused.code == 2
    assert "did you mean 'moved'" in refused.err
    refused = field.run("resume", "moved", "--trials", "7")
    assert refused.code == 2
    assert "already has 8" in refused.err
    assert field.written() == before, "a refusal writes nothing"


@pytest.mark.slow
def test_a_finished_search_may_grow(field: Field) -> None:
    words = (*IDLE, "--trials", "4", "--workers", "2", "--scheduler", "none")
    first = field.run(*begin(field, "grown", *words))
    assert first.code == 0, first.err
    old = outcomes(field.entries("grown"))
    more = field.run("resume", "grown", "--trials", "9", "--json")
    assert more.code == 0, more.err
    entries = field.entries("grown")
    assert [e.number for e in entries] == list(range(9))
    assert outcomes(entries)[:4] == old
    assert more.result["trials"]["total"] == 9
    best = sorted(entries, key=lambda e: -(e.value or 0.0))[:3]
    assert more.result["best"]["number"] == best[0].number
    assert [f["trial"] for f in more.result["finalists"]] == [e.number for e in best]
    assert field.wrong("grown") == []


# two trials of a minute, saved every 30 seconds
LONG = (
    *IDLE,
    *("--trials", "2", "--workers", "2", "--scheduler", "none", "--set", "epochs=600"),
    *("--set", "pause=0.1"),
)
EPOCHS = list(range(30, 601, 30))


@pytest.mark.slow
def test_a_trial_goes_on_where_its_worker_was_lost(field: Field) -> None:
    with field.driver(*begin(field, "lost", *LONG)) as driver:
        for losses in (1, 2, 3):
            wait_until(lambda n=losses: len(field.starts(1)) == n)
            psutil.Process(field.starts(1)[-1][0]).kill()
        saved = wait_until(lambda: field.checkpoints("lost", 0))[0]
        assert len(field.starts(0)) == 1, "the other one is untouched"
        psutil.Process(field.starts(0)[0][0]).kill()
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, (out, err)
    survivor, lost = field.entries("lost")
    assert (survivor.state, survivor.attempt) == ("COMPLETE", 0)
    assert sorted(survivor.intermediate_values) == EPOCHS
    assert [e.epoch for e in field.evaluations("lost", 0)] == EPOCHS
    assert [epoch for _, epoch in field.starts(0)] == [0, saved]
    assert (lost.state, lost.outcome["reason"]) == ("FAIL", "worker_lost")
    assert field.wrong("lost") == []


@pytest.mark.slow
def test_signals_leave_a_search_that_can_be_resumed(field: Field) -> None:
    for attempt, (signum, code) in enumerate(
        [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
    ):
        words = ("resume", "halted") if attempt else begin(field, "halted", *LONG)
        with field.driver(*words) as driver:
            begun = attempt + 1
            wait_until(lambda n=begun: all(len(field.starts(k)) == n for k in (0, 1)))
            reached = [field.epoch("halted", k) for k in (0, 1)]
            wait_until(lambda r=reached: all(field.epoch("halted", k) > r[k] + 30 for k in (0, 1)))
            ours = family(driver.pid)
            began = time.monotonic()
            halt(driver.pid, signum)
            if attempt == 2:
                time.sleep(0.5)
                halt(driver.pid, signum)
            _, err = driver.communicate(timeout=60)
            seconds = time.monotonic() - began
            print(f"{signal.Signals(signum).name} took {seconds:.1f} s")
        assert driver.returncode == code, err
        assert "tuner resume halted" in err
        assert "Traceback" not in err
        assert seconds < 30, "it takes 4 on a quiet machine"
        _, alive = psutil.wait_procs(ours, timeout=10)
        assert not alive, "no process is left behind"
        assert [e.state for e in field.entries("halted")] == ["RUNNING", "RUNNING"]
        if attempt < 2:
            assert all(field.checkpoints("halted", k)[0] >= reached[k] + 30 for k in (0, 1))
    ended = field.run("resume", "halted", "--json")
    assert ended.code == 0, ended.err
    assert {e.state for e in field.entries("halted")} == {"COMPLETE"}
    for number in (0, 1):
        resumed = [epoch for _, epoch in field.starts(number)]
        assert resumed[0] == 0
        assert 0 < resumed[1] < resumed[2] <= resumed[3]
        assert [e.epoch for e in field.evaluations("halted", number)] == EPOCHS
    assert field.wrong("halted") == []


@pytest.mark.slow
def test_a_second_driver_is_refused_and_a_stale_one_fenced(field: Field) -> None:
    with field.driver(*begin(field, "shared", *LONG)) as first:
        wait_until(lambda: all(field.epoch("shared", k) > 0 for k in (0, 1)))
        before = field.entries("shared")
        refused = field.run("resume", "shared")
        assert refused.code == 75
        assert f":{first.pid}:" in refused.err
        assert refused.seconds < 60
        assert [e.attempt for e in field.entries("shared")] == [e.attempt for e in before]
        os.kill(first.pid, signal.SIGSTOP)
        time.sleep(61)
        second = field.run("resume", "shared", "--json")
        assert second.code == 0, second.err
        done = outcomes(field.entries("shared"))
        os.kill(first.pid, signal.SIGCONT)
        _, err = first.communicate(timeout=120)
    assert first.returncode == 75
    assert "took over" in err
    assert outcomes(field.entries("shared")) == done
    assert field.wrong("shared") == []


@pytest.mark.slow
def test_a_time_budget_closes_the_record(field: Field) -> None:
    words = (*IDLE, "--trials", "400", "--set", "pause=0.3", "--time-budget", "20s")
    ended = field.run(*begin(field, "short", *words))
    assert ended.code == 0, ended.err
    entries = field.entries("short")
    assert 2 < len(entries) < 400
    assert "RUNNING" not in {e.state for e in entries}
    assert ended.result["trials"]["total"] == len(entries)
    assert field.wrong("short") == []


@pytest.mark.slow
def test_a_search_in_which_all_fails_ends_soon_and_says_why_once(field: Field) -> None:
    words = (*IDLE, "--trials", "60", "--set", "fault=raise", "--workers", "1")
    ended = field.run(*begin(field, "broken", *words))
    assert ended.code == 1
    assert ended.err.count("RuntimeError: the test asked for it") == 1
    entries = field.entries("broken")
    assert [e.state for e in entries] == ["FAIL"] * 5
    assert {e.outcome["reason"] for e in entries} == {"RuntimeError: the test asked for it"}
    again = field.run("resume", "broken", "--trials", "7")
    assert again.code == 1
    assert len(field.entries("broken")) == 7


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_ends_the_search_resumably(field: Field) -> None:
    blocked = field.locations.artifacts / "full" / "trial-00001"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder can be made here")
    words = (*IDLE, "--trials", "4", "--workers", "1")
    ended = field.run(*begin(field, "full", *words))
    assert ended.code == 74, ended.err
    assert str(blocked) in ended.err
    assert [e.state for e in field.entries("full")] == ["COMPLETE", "RUNNING"]
    blocked.unlink()
    resumed = field.run("resume", "full", "--json")
    assert resumed.code == 0, resumed.err
    assert len(field.entries("full")) == 4
    assert field.wrong("full") == []
