"""A trial that Ray's memory monitor kills."""

from pathlib import Path

import psutil
import pytest

from ..faults.locations import Field, forget_methods
from ..mlflow_store import OLD_LOADER

_SPACE = """\
space:
  fault: {choice: [none, hog]}
"""
_GIB = 2**30
_NEEDED = 9 * _GIB


@pytest.mark.slow
@pytest.mark.fault("F5")
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(OLD_LOADER)
def test_a_trial_that_takes_the_memory_fails_and_the_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    assert memory.available > _NEEDED, f"this test needs {_NEEDED / _GIB:.0f} GiB of free memory"
    used = memory.total - memory.available
    field = Field(
        tmp_path,
        settings={
            # a search takes 2 GiB, the hog all that there is
            "RAY_memory_usage_threshold": f"{(used + 4 * _GIB) / memory.total:.4f}",
            "RAY_memory_monitor_refresh_ms": "100",
        },
    )
    (tmp_path / "space.yaml").write_text(_SPACE)
    words = ["search", "-m", "idle", "-d", str(field.data), "--name", "hog", "--json"]
    words += ["--space", str(tmp_path / "space.yaml"), "--sampler", "random", "--seed", "2"]
    words += ["--trials", "4", "--replicas", "1", "--workers", "1", "--scheduler", "none"]
    ended = field.run(*words)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    trials = field.entries("hog")
    assert len(trials) == 4
    for trial in trials:
        expected = ("FAIL", "oom") if trial.params["fault"] == "hog" else ("COMPLETE", None)
        assert (trial.state, trial.outcome["reason"]) == expected
        assert trial.outcome["detail"].startswith("OutOfMemoryError: ") == (expected[1] == "oom")
    assert {trial.state for trial in trials} == {"FAIL", "COMPLETE"}
    starts = {trial.number: len(field.starts(trial.number, seed=2)) for trial in trials}
    assert starts == {t.number: 3 if t.state == "FAIL" else 1 for t in trials}
    monkeypatch.syspath_prepend(field.plugin)  # the doctor loads the model in this process
    forget_methods()
    try:
        assert field.wrong("hog") == []
    finally:
        forget_methods()
