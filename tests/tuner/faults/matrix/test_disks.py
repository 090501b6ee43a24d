"""Row F13: disks that are full, as file systems of a few megabytes in memory."""

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import DiskError
from tuner.training import checkpoint

from ..locations import Field
from .support import begin, check_points, check_whole, idle, reach

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]
MIB = 2**20
BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leave: int) -> None:
    """Fill a disk up to so many free bytes; others may write to it meanwhile."""
    with (disk / BALLAST).open("wb", buffering=0) as file:
        stat = os.statvfs(disk)
        try:
            file.write(bytes(max(0, stat.f_bavail * stat.f_frsize - leave)))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@pytest.mark.fault("F13")
def test_f13_no_half_checkpoint_is_loaded(tmp_path: Path, rng: random.Random) -> None:
    for attempt in range(5):
        with small_disk(tmp_path / f"disk-{attempt}", 3 * MIB) as disk:
            size = rng.randint(20_000, 240_000)
            steps: list[int] = []
            with pytest.raises(DiskError, match="No space left on device") as caught:
                _save_until_full(disk, size, steps)
            step = steps[-1]
            assert str(disk / "own" / f"step-{step:08d}") in str(caught.value)
            assert "bytes" in str(caught.value)
            assert caught.value.exit_code == 74
            assert not list((disk / "own").glob(".step-*")), "no half checkpoint is left"
            found, note = checkpoint.latest_valid(disk / "own")
            assert note == ""
            assert (found is None) == (step == 1)
            if found is not None:
                assert found[1]["step"] == step - 1
                assert (found[0]["weight"] == step - 1).all()
            fill(disk, leave=3 * MIB)
            _save(disk, size, step)
            newest, _ = checkpoint.latest_valid(disk / "own")
            assert newest is not None
            assert newest[1]["step"] == step


def _save(disk: Path, size: int, step: int) -> None:
    tensors = {"weight": torch.full((size,), float(step))}
    checkpoint.save_checkpoint(disk / "own", step, tensors, {"step": step})


def _save_until_full(disk: Path, size: int, steps: list[int]) -> None:
    while True:
        steps.append(len(steps) + 1)
        fill(disk, leave=(3 * MIB * 3 // 4) // steps[-1])
        _save(disk, size, steps[-1])


@pytest.mark.fault("F13")
def test_f13_a_full_folder_of_trials_is_named_and_the_search_resumable(
    field: Field, rng: random.Random
) -> None:
    with small_disk(field.folder / "disk", 3 * MIB) as disk:
        field.artifacts = disk / "artifacts"
        fill(disk, leave=4096 * rng.randint(6, 24))
        full = field.run(*begin(field, "full", *idle(16)))
        assert full.code == 74, full.err
        assert str(field.artifacts / "full") in full.err
        assert "bytes" in full.err
        assert len(full.err.strip().splitlines()[-1]) < 500, "no traceback in one line"
        assert "Traceback" not in full.err
        (disk / BALLAST).unlink()
        ended = field.run("resume", "full", "--json")
        entries = check_whole(field, "full", 16, ended)
        assert {e.state for e in entries} == {"COMPLETE"}
        check_points(field, "full")


@pytest.mark.fault("F13")
def test_f13_one_full_disk_for_everything_is_a_full_disk(field: Field, rng: random.Random) -> None:
    with small_disk(field.folder / "disk", 12 * MIB) as disk:
        field.artifacts = disk / "artifacts"
        field.storage = f"sqlite:///{disk / 'tuner.db'}"
        field.tracking_uri = f"sqlite:///{disk / 'mlflow.db'}"
        with field.driver(*begin(field, "full", *idle(60, pause=0.1))) as driver:
            reach(field, "full", rng.randint(1, 10), driver=driver)
            fill(disk, leave=0)
            out, err = driver.communicate(timeout=240)
        assert driver.returncode == 74, (out, err)
        said = [line for line in err.splitlines() if " of 60 trials: " not in line]
        assert "Traceback" not in err
        assert "sqlalchemy" not in err.lower()
        assert len(said) < 15, said
        assert str(disk) in said[-1]
        (disk / BALLAST).unlink()
        check_whole(field, "full", 60, field.run("resume", "full", "--json"))
        check_points(field, "full")
