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
    read, told = checkpoint.read(tmp_path / "a")
    assert told == document
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_nothing_but_the_folder_is_left(tmp_path):
    for step in range(3):
        checkpoint.write(tmp_path / "a", TENSORS, {"step": step})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert checkpoint.read(tmp_path / "a")[1] == {"step": 2}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("call", range(4))
def test_a_failing_disk_leaves_the_one_before(tmp_path, monkeypatch, code, call):
    place = tmp_path / "a"
    checkpoint.write(place, TENSORS, {"step": 1})
    calls = iter(range(9))
    real = os.fsync

    def fsync(descriptor):
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DiskError, match=r"\d+ bytes") as caught:
        checkpoint.write(place, TENSORS, {"step": 2})
    assert str(place) in str(caught.value)
    assert caught.value.exit_code == 74
    assert checkpoint.read(place)[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="choose a folder"):
        checkpoint.write(tmp_path / "file" / "a", TENSORS, {})


def test_a_writer_killed_between_its_renames_loses_nothing(tmp_path):
    place = tmp_path / "a"
    checkpoint.write(place, TENSORS, {"step": 1})
    place.rename(tmp_path / ".a.previous")
    assert checkpoint.read(place)[1] == {"step": 1}
    checkpoint.write(place, TENSORS, {"step": 2})
    assert checkpoint.read(place)[1] == {"step": 2}


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "document.json", "manifest.json"])
def test_damage_is_noticed_and_named(tmp_path, damage, name):
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
        ({"schema": "1", "files": {}}, "not a number"),
        ({"files": {}}, "not a number"),
        ({"schema": 1}, "lists no files"),
        ({"schema": 1, "files": {"../../secret": {}}}, "lists ../../secret instead of"),
        ([], "no mapping"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_a_sentence(tmp_path, manifest, sentence):
    checkpoint.write(tmp_path / "a", TENSORS, {})
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.read(tmp_path / "a")


def steps(folder):
    return [
        int(place.name.removeprefix("step-")) for place in checkpoint.saved_checkpoints(folder)
    ]


def save(folder, step):
    return checkpoint.save_checkpoint(folder, step, TENSORS, {"step": step})


def test_two_generations_are_kept(tmp_path):
    for step in (1, 2, 10, 11):
        save(tmp_path, step)
    assert steps(tmp_path) == [11, 10]


@pytest.mark.parametrize("damage", [sabotage.cut, sabotage.flip, sabotage.remove])
@pytest.mark.parametrize("name", ["weights.safetensors", "document.json", "manifest.json"])
def test_a_damaged_newest_one_gives_way_to_the_one_before(tmp_path, damage, name):
    save(tmp_path, 1)
    damage(save(tmp_path, 2) / name)
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert found[1] == {"step": 1}
    assert "step-00000002" in note


def test_the_note_says_so_when_none_is_left(tmp_path):
    assert checkpoint.latest_valid(tmp_path / "absent") == (None, "")
    for step in (1, 2):
        sabotage.cut(save(tmp_path, step) / "document.json")
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is None
    assert "step-00000001" in note
    assert "step-00000002" in note


def test_a_sound_newest_one_needs_no_note(tmp_path):
    save(tmp_path, 1)
    found, note = checkpoint.latest_valid(tmp_path)
    assert found is not None
    assert note == ""


def test_generations_after_a_step_back_are_removed(tmp_path):
    for step in (8, 9):
        save(tmp_path, step)
    (tmp_path / ".step-00000009.abandoned").mkdir()
    save(tmp_path, 3)
    assert steps(tmp_path) == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


@pytest.mark.slow
def test_a_killed_writer_never_leaves_a_half_one(tmp_path):
    program = textwrap.dedent(f"""
        import itertools, pathlib, torch
        from tuner import checkpoint
        for step in itertools.count():
            tensors = {{"weight": torch.full((300_000,), float(step))}}
            document = {{"step": step}}
            checkpoint.save_generation(pathlib.Path({str(tmp_path)!r}), step, tensors, document)
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
