import os
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from tests.tuner.data.refusals import refusal
from tuner.data import load
from tuner.data.images import home

PARTS = {"train": 12, "t10k": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)


def write_small(folder: Path, name: str) -> np.ndarray:
    """Write a data set in torchvision's layout and return its training images."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (n, 28, 28), np.uint8) for part, n in PARTS.items()}
    for part, n in PARTS.items():
        head = struct.pack(">IIII", 0x803, n, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + images[part].tobytes())
        labels = np.arange(n, dtype=np.uint8) % 10
        head = struct.pack(">II", 0x801, n)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return images["train"]


def test_digits_are_divided_by_their_range():
    data = load("digits")
    assert data.train.shape == (1437, 8, 8)
    assert data.test.shape == (360, 8, 8)
    assert data.unit_interval
    assert data.train.max() == 1
    assert data.scaling.invert(data.train).max() == 16
    assert data.label_names == tuple("0123456789")
    assert set(data.test_labels) == set(range(10))


@pytest.mark.parametrize(("name", "kept"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvision_images_are_read_as_published(folder, name, kept):
    images = write_small(folder, kept)
    data = load(name)
    assert data.train.shape == (12, 28, 28)
    assert data.test.shape == (5, 28, 28)
    assert np.allclose(data.train * 255, images, atol=1e-4)
    assert np.array_equal(data.test_labels, np.arange(5))
    assert data.unit_interval
    assert len(data.label_names) == 10


def test_absent_images_without_a_network_name_folder_and_variable(folder, offline):
    sentence = refusal("mnist")
    assert str(folder / "MNIST" / "raw") in sentence
    assert "TUNER_DATA_HOME" in sentence
    assert "no network" in sentence


def test_damaged_images_are_named(folder, offline):
    write_small(folder, "MNIST")
    images = folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    sentence = refusal("mnist")
    assert "damaged" in sentence
    assert str(images.parent) in sentence


def test_images_bring_their_own_labels():
    assert "leave labels out" in refusal("digits", labels="class")


def test_the_folder_comes_from_the_variable(monkeypatch):
    monkeypatch.setenv("TUNER_DATA_HOME", "~/somewhere")
    assert home() == Path.home() / "somewhere"
    monkeypatch.delenv("TUNER_DATA_HOME")
    assert home() == Path.home() / ".cache" / "tuner"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_images(monkeypatch, name):
    beside = Path(__file__).parents[4] / "shared" / "data"
    monkeypatch.setenv("TUNER_DATA_HOME", os.environ.get("TUNER_DATA_HOME", str(beside)))
    data = load(name)
    assert data.train.shape == (60_000, 28, 28)
    assert data.test.shape == (10_000, 28, 28)
    assert data.unit_interval
    assert np.array_equal(np.unique(data.train_labels), np.arange(10))
