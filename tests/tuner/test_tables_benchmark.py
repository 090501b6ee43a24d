"""The benchmark of all methods stops at its deadline and goes on later, with the same result."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import bare
from tests.benchmarks import _deadline, tables
from tests.benchmarks._deadline import Deadline

TRAINING = "--method vade --dataset digits --epochs 6 --subset 300 --threads 1"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Run]:
    """Yield a function that runs the benchmark in a folder and returns what it prints."""

    def run(folder: str, *options: str) -> str:
        monkeypatch.setattr(tables, "RESULTS", tmp_path / folder / "results")
        work = ["--work", str(tmp_path / folder / "work")]
        monkeypatch.setattr(sys, "argv", ["tables", *TRAINING.split(), *work, *options])
        tables.main()
        printed: str = capsys.readouterr().out
        return printed

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "results").glob("*.json")]


def spent(folder: Path) -> float:
    (file,) = (folder / "work").glob("*/seconds.json")
    seconds: float = json.loads(file.read_text())["seconds"]
    return seconds


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("whole")
    asked = count()  # once before the training, then before each evaluation
    with monkeypatch.context() as patch:
        patch.setattr(Deadline, "allows", lambda self, work: next(asked) < 4)
        printed = run("parts", "--deadline", "100")
    assert "pass 3/6" in printed
    assert "pass 4/6" not in printed
    (line,) = printed.splitlines()[-1:]
    assert line.startswith("vade on digits stopped at pass 3/6, after ")
    assert results(tmp_path / "parts") == []
    first = spent(tmp_path / "parts")
    printed = run("parts", "--deadline", "1e9")
    assert "pass 3/6" not in printed
    assert "pass 4/6" in printed
    (whole,), (parts,) = results(tmp_path / "whole"), results(tmp_path / "parts")
    assert parts.pop("seconds") > first
    assert whole.pop("seconds") > 0
    assert parts == whole


def test_restarts_are_another_result_and_shown(tmp_path: Path, run: Run) -> None:
    run("both", "--replicas", "2")
    printed = run("both", "--replicas", "2", "--restarts", "2")
    plain, restarted = sorted(results(tmp_path / "both"), key=lambda one: one.get("restarts", 1))
    assert "restarts" not in plain
    assert restarted["restarts"] == 2
    assert [len(one["test"]["hungarian"]) for one in (plain, restarted)] == [2, 2]
    table = printed[printed.index("| data |") :]
    assert table.count("| 2, best of 2 |") == table.count("| 2 |") == 1


def test_nothing_begins_after_the_deadline(tmp_path: Path, run: Run) -> None:
    printed = run("late", "--deadline", "0")
    assert printed == "vade on digits stopped before it began: call again to go on\n"
    assert not list(tmp_path.rglob("*.json"))


def test_an_interval_as_long_as_the_longest_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deadline, "STARTED", time.monotonic() - 5_000)
    assert Deadline(10_000.0).allows(4_000.0)
    assert not Deadline(10_000.0).allows(6_000.0)
    assert Deadline(None).allows(1e9)


def test_a_bare_machine_can_run_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.benchmarks import tables\n"
        f"tables.RESULTS = Path({str(tmp_path / 'results')!r})\n"
        "tables.main()"
    )
    command = [sys.executable, "-c", code, *TRAINING.split(), "--work", str(tmp_path / "work")]
    done = subprocess.run(
        [*command, "--deadline", "1000"],
        cwd=bare.ROOT,
        env=bare.environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)) == 1
