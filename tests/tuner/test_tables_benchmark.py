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
from tests.benchmarks._readme_table import readme_table
from tuner.errors import UsageError

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


def test_a_result_says_its_preset_and_what_differs_from_it(tmp_path: Path, run: Run) -> None:
    options = ("--method", "kmeans", "--preset", "arcs", "--set", "starts=2")
    printed = run("named", *options)
    (document,) = results(tmp_path / "named")
    assert (document["preset"], document["changed"]) == (["arcs"], ["starts"])
    assert document["settings"]["n_components"] == 5
    assert (document["passes"], document["points"], document["device"]) == (1, 300, "cpu")
    assert "| arcs; 1 changed | 300, 1 |" in printed
    run("unnamed", "--method", "kmeans")
    (document,) = results(tmp_path / "unnamed")
    assert (document["preset"], document["changed"]) == (["digits"], [])


def test_a_preset_that_a_method_lacks_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match=r"kmeans has no such preset"):
        run("none", "--method", "kmeans", "--preset", "paper")


def test_results_of_before_are_found_though_they_named_no_preset(tmp_path: Path, run: Run) -> None:
    run("again", "--method", "kmeans")
    assert "already exists" in run("again", "--method", "kmeans", "--preset", "digits")


@pytest.mark.parametrize("path", sorted(tables.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_stored_result_says_what_it_depends_on(path: Path) -> None:
    document = json.loads(path.read_text())
    assert {"passes", "points", "device", "preset", "changed"} <= set(document)
    assert document["preset"]


def result(*accuracy: float, method: str = "vade", **values: Any) -> dict[str, Any]:
    facts = {"dataset": "mnist", "note": "", "points": 60_000, "passes": 9, "device": "cpu"}
    shown = {"preset": ["paper"], "changed": [], "failure": None, "test": {"hungarian": accuracy}}
    scores = [0.2, 0.9, 0.1][: len(accuracy)]
    counted = {"replicas": len(accuracy), "scores": scores}
    return {**facts, **shown, "method": method, **counted, **values}


def test_the_short_table_has_one_result_of_every_method_and_dataset() -> None:
    documents = [
        result(70.0, 72.0, 74.0, note="slow"),
        result(60.0, 61.0, 62.0),
        result(90.0, 91.0),  # too few replicas
        result(80.0, 81.0, 82.0, points=10_000),  # fewer points
        result(90.0, 90.0, 90.0, failure="nan"),
        result(50.0, 50.0, 50.0, method="kmeans", points=5_000, changed=["starts"]),
        result(99.0, 99.0, 99.0, dataset="fashion_mnist"),
    ]
    papers = {("vade", "mnist", ""): "88.3", ("vade", "mnist", "slow"): "1.0"}
    lines = readme_table(documents, papers).splitlines()
    assert lines[2:] == [
        "| mnist | `vade` slow | 72.0±2.0 (74.0) | 72.0 | 88.3 | 60,000, 9 | paper | cpu |",
        "| mnist | `kmeans` | 50.0±0.0 (50.0) | 50.0 |  | 5,000, 9 | paper; 1 changed | cpu |",
        "| fashion_mnist | `vade` | 99.0±0.0 (99.0) | 99.0 |  | 60,000, 9 | paper | cpu |",
    ]
    assert all(line.count("|") == lines[0].count("|") for line in lines)
