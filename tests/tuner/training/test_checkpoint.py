import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from tests.tuner import sabotage
from tuner.errors import DiskError
from tuner.training import checkpoint
from tuner.training.checkpoint import CheckpointError

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def test_what_is_written_is_read(tmp_path):
    shared = torch.randn(4, 5)
    tensors = {
        "transposed": shared.T,
        "whole": shared,
        "count": torch.tensor(3, dtype=torch.int64),
        "state": torch.Generator().get_state(),
        "empty": torch.zeros(0, 2),
        "mask": torch.tensor([True, False]),
    }
    document = {"epoch": 3, "best": float("inf"), "name": "ä", "nested": {"list": [1, None]}}
    checkpoint.write(tmp_path / "a", tensors, document)
    read, read_document = checkpoint.read(tmp_path / "a")
    assert read_document == document
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_no_temporary_folder_is_left(tmp_path):
    for step in range(3):
        checkpoint.write(tmp_path / "a", TENSORS, {"step": step})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert checkpoint.read(tmp_path / "a")[1] == {"step": 2}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("call", range(4))
def test_a_failing_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, code, call):
    path = tmp_path / "a"
    checkpoint.write(path, TENSORS, {"step": 1})
    calls = iter(range(9))
    real = os.fsync

    def fsync(descriptor):
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DiskError, match=r"\d+ bytes") as caught:
        checkpoint.write(path, TENSORS, {"step": 2})
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 74
    assert checkpoint.read(path)[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="choose a writable folder"):
        checkpoint.write(tmp_path / "file" / "a", TENSORS, {})


def test_the_previous_checkpoint_survives_a_kill_between_the_renames(tmp_path):
    path = tmp_path / "a"
    checkpoint.write(path, TENSORS, {"step": 1})
    path.rename(tmp_path / ".a.previous")
    assert checkpoint.read(path)[1] == {"step": 1}
    checkpoint.write(path, TENSORS, {"step": 2})
    assert checkpoint.read(path)[1] == {"step": 2}


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "document.json", "manifest.json"])
def test_damage_is_detected_and_the_file_named(tmp_path, damage, name):
    checkpoint.write(tmp_path / "a", TENSORS, {"text": "long enough to be flipped in"})
    damage(tmp_path / "a" / name)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(tmp_path / "a")
    assert caught.value.exit_code == 3
    assert name in str(caught.value) or name == "manifest.json"


def test_nothing_is_unpickled(tmp_path):
    checkpoint.write(tmp_path / "a", TENSORS, {})
    marker = tmp_path / "marker"
    (tmp_path / "a" / "weights.safetensors").write_bytes(sabotage.hostile_pickle(marker))
    sabotage.sign(tmp_path / "a")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoint.read(tmp_path / "a")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"schema": 2, "files": {}}, "reads up to 1: upgrade"),
        ({"schema": "1", "files": {}}, "not a version number"),
        ({"files": {}}, "not a version number"),
        ({"schema": 1}, "lists no files"),
        ({"schema": 1, "files": {"../../secret": {}}}, "lists ../../secret instead of"),
        ([], "not a JSON object"),
    ],
)
def test_an_invalid_manifest_is_an_error(tmp_path, manifest, sentence):
    checkpoint.write(tmp_path / "a", TENSORS, {})
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.read(tmp_path / "a")


def steps(folder):
    return [int(path.name.removeprefix("step-")) for path in checkpoint.saved_checkpoints(folder)]


def save(folder, step):
    return checkpoint.save_checkpoint(folder, step, TENSORS, {"step": step})


def test_the_newest_two_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 10, 11):
        save(tmp_path, step)
    assert steps(tmp_path) == [11, 10]


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "document.json", "manifest.json"])
def test_the_previous_checkpoint_replaces_a_damaged_newest_one(tmp_path, damage, name):
    save(tmp_path, 1)
    damage(save(tmp_path, 2) / name)
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert "step-00000002" in note


def test_the_note_names_every_damaged_checkpoint(tmp_path):
    assert checkpoint.latest_valid(tmp_path / "absent") == (None, "")
    for step in (1, 2):
        sabotage.cut(save(tmp_path, step) / "document.json")
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is None
    assert "step-00000001" in note
    assert "step-00000002" in note


def test_a_valid_newest_checkpoint_needs_no_note(tmp_path):
    save(tmp_path, 1)
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert note == ""


def test_checkpoints_of_later_steps_are_removed(tmp_path):
    for step in (8, 9):
        save(tmp_path, step)
    (tmp_path / ".step-00000009.abandoned").mkdir()
    save(tmp_path, 3)
    assert steps(tmp_path) == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


@pytest.mark.slow
@pytest.mark.fault("F14")
def test_a_killed_writer_never_leaves_an_incomplete_checkpoint(tmp_path):
    program = textwrap.dedent(f"""
        import itertools, pathlib, torch
        from tuner.training import checkpoint
        for step in itertools.count():
            tensors = {{"weight": torch.full((300_000,), float(step))}}
            document = {{"step": step}}
            checkpoint.save_checkpoint(pathlib.Path({str(tmp_path)!r}), step, tensors, document)
    """)
    for attempt in range(5):
        writer = subprocess.Popen([sys.executable, "-c", program])
        deadline = time.monotonic() + 60
        while not steps(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05 + 0.031 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        found, note = checkpoint.latest_valid(tmp_path)
        assert found is not None
        assert note == ""
        tensors, document = found
        assert (tensors["weight"] == document["step"]).all()
