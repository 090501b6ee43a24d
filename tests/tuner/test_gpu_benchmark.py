"""The benchmark for GPUs runs to its end on the CPU, and on a machine with little installed."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests import bare
from tests.benchmarks._gpu_bench import NAMED, Bench
from tests.benchmarks._gpu_results import SHARES, Budget, Case, Results, silent
from tests.benchmarks._gpu_steps import StepTimer, named_cases
from tests.benchmarks._gpu_table import WIDTH, rows, text
from tests.benchmarks.tables import settings
from tuner.models._kit.recording import RECORDINGS
from tuner.study.presets import preset_of
from tuner.study.space import method_space
from tuner.testing import Subject
from tuner.testing.tape import Tape


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results.begin(tmp_path / "gpu.json", {"parts": tuple(SHARES)})


@pytest.mark.slow
def test_a_rehearsal_runs_to_its_end_on_a_bare_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu", "--minutes", "4"]
    done = subprocess.run(
        [*command, "--methods", "vade,aae,gmvae", "--out", str(tmp_path / "gpu.json")],
        cwd=bare.ROOT,
        env=bare.environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert document["running"] is None
    assert not [one for one in document["cases"].values() if "failed" in one]
    assert "random points" in document["data"]
    assert {key.split("/")[0] for key in document["cases"]} == set(SHARES)
    *_, counted, empty, head, line = done.stdout.splitlines()[: -len(document["table"])]
    assert (counted, empty) == (f"0 of {len(document['cases'])} cases failed", "")
    assert head.split()[:2] == ["case", "R"]
    assert line == len(head) * "-"
    last = document["table"][-1]
    assert done.stdout.splitlines()[-1].split()[:2] == [last["case"], str(last["replicas"])]
    assert len(head) <= WIDTH


def test_a_bare_machine_can_import_it(tmp_path: Path) -> None:
    modules = ("bench", "checks", "counts", "kernels", "sharing", "steps")
    names = [f"tests.benchmarks._gpu_{name}" for name in modules]
    done = subprocess.run(
        [sys.executable, "-c", f"import tests.benchmarks.tables, {', '.join(names)}"],
        cwd=bare.ROOT,
        env=bare.environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_steps_are_timed_by_stage() -> None:
    subject = Subject.of("vade")
    method, timer = subject.fresh(), StepTimer(torch.device("cpu"))
    with patch.dict(RECORDINGS, {"cpu": Tape}), timer.watching():
        for report in method.fit(subject.x):
            timer.finish_pass(report.stage)
    runs = {stage: [run.steps for run in timer.last(stage)] for stage in timer.runs}
    assert runs == {"pretraining": [1, 5], "joint": [1, 5]}  # without warm-up and recording
    assert all(run.ms > 0 for stage in runs for run in timer.last(stage))


def test_the_first_named_settings_are_those_of_the_papers(results: Results) -> None:
    bench = Bench("cpu", ("em_vae", "gmvae"), results)
    data: Any = type("Data", (), {"unit_interval": True})
    for name in list(NAMED)[:2]:
        method, config = NAMED[name]
        preset = preset_of(method_space(method), "paper")
        assert config() == settings(method, data, preset, {})
    assert [case.key for case in named_cases(bench)][:2] == [
        "steps/rates",
        "steps/em_vae (paper)/1/called",
    ]


def test_a_case_that_fails_leaves_the_others(results: Results) -> None:
    recovered: list[bool] = []
    fine = {"stages": {"joint": {"ms": 2.0, "limit_ms": 0.5}}}
    half = {"stages": {"joint": {"ms": 1.0}}, "allocated_gib": 1.5}
    works = {
        "methods/vade/1/recorded": lambda: half,
        "methods/vade/1/called": lambda: fine,
        "methods/vade/4/recorded": lambda: 1 / 0,
        "methods/vade/4/called": lambda: fine,
    }
    cases = [Case(key, work, silent) for key, work in works.items()]
    budget = Budget(time.time(), 100.0, ("methods",))
    results.measure("methods", cases, budget, lambda: recovered.append(True))
    read = Results.read(results.path)
    assert recovered == [True]
    assert read.cases["methods/vade/4/recorded"]["failed"] == "ZeroDivisionError: division by zero"
    read.document["table"] = rows(read.cases)
    lines = text(read.document).splitlines()
    assert "1 of 4 cases failed" in lines
    assert lines[-3].split() == ["vade", "1", "2.000", "1.000", "2.0", "1.00", "2.0", "1.50"]
    assert lines[-2].split() == ["vade", "4", "2.000", "failed", "-", "1.00", "-", "-"]
    assert lines[-1] == "  recorded failed: ZeroDivisionError: division by zero"


def test_cases_of_an_earlier_process_are_not_repeated(results: Results) -> None:
    results.fail("steps/a", "ProcessDied: exit status -11")
    cases = [Case(f"steps/{name}", dict, silent) for name in "ab"]
    results.measure("steps", cases, Budget(time.time(), 100.0, ("steps",)), lambda: None)
    assert results.cases["steps/a"]["failed"] == "ProcessDied: exit status -11"
    assert "failed" not in results.cases["steps/b"]


def test_no_case_begins_after_the_end_of_its_part(results: Results) -> None:
    budget = Budget(time.time() - 50, 100.0, ("steps", "exactness"))  # 80 and 20 s
    assert budget.end("steps") == pytest.approx(budget.start + 80)
    assert budget.end("exactness") == pytest.approx(budget.start + 100)
    results.measure("steps", [Case("steps/a", dict, silent, 40.0)], budget, lambda: None)
    results.document["table"] = []
    assert results.cases == {}
    assert "not reached in time: 1 of steps" in text(results.document)
