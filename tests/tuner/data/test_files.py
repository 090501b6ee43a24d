import os

import numpy as np
import pytest

from tests.tuner.data.refusals import refusal
from tuner.data import load
from tuner.data.formats import arrays


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(50, 3)))
    return tmp_path / "points.npy"


def test_a_missing_file_is_told_with_what_is_there(path):
    assert "did you mean 'points.npy'?" in refusal(path.with_name("point.npy"))
    assert "no file" in refusal(path / "inside.npy")
    assert "no file" in refusal("/nowhere/at/all.npy")


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    assert "is a folder without images" in refusal(tmp_path / "folder.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    assert "is not a regular file" in refusal(tmp_path / "pipe.npy")
    (tmp_path / "empty.csv").touch()
    assert "is empty" in refusal(tmp_path / "empty.csv")


@pytest.mark.parametrize("name", ["a\0b.npy", "x" * 300 + ".npy", "a\nb.npy"])
def test_names_that_no_file_has_are_refused(tmp_path, name):
    refusal(f"{tmp_path}/{name}")


def test_an_unknown_extension_lists_the_known_ones(tmp_path):
    (tmp_path / "a.docx").write_bytes(b"PK")
    assert ".npy, .npz, .csv, .parquet, .arrow, .feather" in refusal(tmp_path / "a.docx")


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "parquet", "arrow", "feather", "png"])
def test_a_file_of_noise_is_refused(tmp_path, ending):
    path = tmp_path / f"noise.{ending}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refusal(path)


def test_a_file_that_changes_while_it_is_read_is_refused(path, monkeypatch):
    whole = arrays._read_body

    def slow(stream, where):
        os.utime(path, ns=(1, 1))
        return whole(stream, where)

    monkeypatch.setattr(arrays, "_read_body", slow)
    assert "was changed while it was read" in refusal(path)


def test_a_file_that_is_replaced_while_it_is_read_is_refused(path, monkeypatch):
    whole = arrays._read_body

    def slow(stream, where):
        other = path.with_name("other.npy")
        other.write_bytes(path.read_bytes())
        os.replace(other, path)
        return whole(stream, where)

    monkeypatch.setattr(arrays, "_read_body", slow)
    assert "was changed while it was read" in refusal(path)


def test_a_file_without_permission_is_refused(path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", forbidden)
    assert "Permission denied" in refusal(path)


def test_memory_that_runs_out_is_told(path, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(arrays, "_read_body", exhausted)
    assert "does not fit into memory" in refusal(path)


def test_a_file_may_be_given_from_here_or_from_home(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(path.parent))
    assert load("points.npy").fingerprint == load("~/points.npy").fingerprint
