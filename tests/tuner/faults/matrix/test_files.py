"""Rows F14 to F16: checkpoints, metrics and data that are damaged between two drivers."""

import random
import signal

import numpy as np
import pytest

from tests.tuner import sabotage
from tests.tuner.mlflow_store import OLD_LOADER

from ..locations import Field, halt, wait_until
from .support import begin, check_points, check_whole, idle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
]
LONG = idle(2, epochs=200, pause=0.1)
EPOCHS = list(range(10, 201, 10))


def interrupted(field: Field, name: str, *, begun: int) -> None:
    """Run the two long trials for a while and let Ctrl-C save them."""
    words = ("resume", name) if begun > 1 else begin(field, name, *LONG)
    with field.driver(*words) as driver:
        wait_until(lambda: all(len(field.starts(k)) == begun for k in (0, 1)))
        reached = [field.epoch(name, k) for k in (0, 1)]
        wait_until(lambda: all(field.epoch(name, k) > reached[k] + 10 for k in (0, 1)))
        halt(driver.pid, signal.SIGINT)
        _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err


@pytest.mark.fault("F14")
@pytest.mark.fault("F15")
def test_f14_f15_damaged_files_are_noticed_and_the_rest_is_used(
    field: Field, rng: random.Random
) -> None:
    victim = rng.randrange(2)
    other = 1 - victim
    interrupted(field, "hurt", begun=1)
    interrupted(field, "hurt", begun=2)
    newest, previous = field.checkpoints("hurt", victim)
    folder = field.attempt("hurt", victim) / "checkpoints" / f"step-{newest:08d}"
    file = rng.choice(["weights.safetensors", "document.json", "manifest.json"])
    rng.choice([sabotage.cut, sabotage.flip, sabotage.remove])(folder / file)
    whole = field.evaluations("hurt", other)
    metrics = field.attempt("hurt", other) / "metrics.jsonl"
    lines = metrics.read_text()
    metrics.write_text(lines[: len(lines) - rng.randint(2, 60)])  # more than the line break
    assert field.evaluations("hurt", other) == whole[:-1], "a torn line counts for nothing"
    ended = field.run("resume", "hurt", "--json")
    entries = check_whole(field, "hurt", 2, ended)
    assert {e.state for e in entries} == {"COMPLETE"}
    assert field.starts(victim)[-1][1] == previous, "the checkpoint before is used"
    assert field.starts(other)[-1][1] > 0, "its checkpoint is whole"
    assert [e.epoch for e in field.evaluations("hurt", victim)] == EPOCHS
    for entry in entries:
        assert sorted(entry.intermediate_values) == EPOCHS, entry.number
    check_points(field, "hurt")


@pytest.mark.fault("F14")
def test_f14_without_any_good_checkpoint_a_trial_begins_again(
    field: Field, rng: random.Random
) -> None:
    interrupted(field, "hurt", begun=1)
    victim = rng.randrange(2)
    (only,) = field.checkpoints("hurt", victim)
    folder = field.attempt("hurt", victim) / "checkpoints" / f"step-{only:08d}"
    rng.choice([sabotage.cut, sabotage.flip, sabotage.remove])(folder / "weights.safetensors")
    ended = field.run("resume", "hurt", "--json")
    entries = check_whole(field, "hurt", 2, ended)
    assert [epoch for _, epoch in field.starts(victim)] == [0, 0]
    assert field.starts(1 - victim)[-1][1] > 0
    assert "weights.safetensors" in entries[victim].outcome["detail"], "it is said"


@pytest.mark.fault("F16")
def test_f16_data_that_changed_are_refused_with_both_hashes(
    field: Field, rng: random.Random
) -> None:
    died = field.run("--die-after", str(rng.randint(10, 30)), *begin(field, "moved", *idle(8)))
    assert died.code == -signal.SIGKILL, died.err
    before, whole = field.written(), field.data.read_bytes()

    points = np.load(field.data)
    points[rng.randrange(len(points)), rng.randrange(4)] += 1
    np.save(field.data, points)
    refused = field.run("resume", "moved")
    assert refused.code == 3, refused.err
    assert "moved" in refused.err
    assert "restore the data" in refused.err
    assert refused.err.count("fingerprint") == 2, "both hashes are shown"
    assert field.written() == before, "a refusal writes nothing"

    field.data.write_bytes(whole[: rng.randrange(200, len(whole))])
    refused = field.run("resume", "moved")
    assert refused.code == 3, refused.err
    assert str(field.data) in refused.err
    field.data.unlink()
    refused = field.run("resume", "moved")
    assert refused.code == 3, refused.err
    assert str(field.data) in refused.err
    assert field.written() == before

    field.data.write_bytes(whole)
    check_whole(field, "moved", 8, field.run("resume", "moved", "--json"))
