"""Row F26: early stopping with failed trials, kills and resumes."""

import random
import signal
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from .conftest import planted
from .support import begin, calm_seed, check_points, check_whole, idle, moments, outcomes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]
SIZE = 16
FAULTS = "none/none/none/raise"


def words(scheduler: str, seed: int) -> tuple[str, ...]:
    """Return the words of a search in which some trials fail, before others are stopped."""
    return (
        *idle(SIZE, workers=1, epochs=9, scheduler=scheduler, sampler="random"),
        *("--set", f"fault={FAULTS}", "--set", "at=1", "--seed", str(seed)),
    )


@pytest.mark.fault("F26")
@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_f26_the_same_rungs_as_without_kills(
    tmp_path: Path, rng: random.Random, scheduler: str
) -> None:
    seed = calm_seed(rng, FAULTS, SIZE)
    with planted(tmp_path / "whole") as field:
        ended = field.run(*begin(field, "rungs", *words(scheduler, seed)))
        whole = check_whole(field, "rungs", SIZE, ended)
        best = ended.result["best"]
    assert {e.state for e in whole} == {"COMPLETE", "PRUNED", "FAIL"}
    with planted(tmp_path / "killed") as field:
        for attempt, moment in enumerate(moments(rng, 2, 10, 70)):
            again = ("resume", "rungs", "--workers", "1")
            run = again if attempt else begin(field, "rungs", *words(scheduler, seed))
            died = field.run("--die-after", str(moment), *run)
            assert died.code == -signal.SIGKILL, died.err
        ended = field.run("resume", "rungs", "--workers", "1", "--json")
        entries = check_whole(field, "rungs", SIZE, ended)
        assert outcomes(entries) == outcomes(whole)
        assert ended.result["best"] == best
        check_points(field, "rungs")
