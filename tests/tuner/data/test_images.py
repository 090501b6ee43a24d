import os
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import SVHN

from tests.tuner.data.refusals import refusal
from tuner.data import load
from tuner.data.formats.images import home

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
    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_small(folder: Path, name: str) -> np.ndarray:
    """Write a dataset in torchvision's layout and return its training images."""
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


def write_house_numbers(folder: Path, **changed) -> dict[str, np.ndarray]:
    """Write both parts in the layout of the published files and return the training part."""
    rng = np.random.default_rng(0)
    parts = {}
    for part, n in {"train": 20, "test": 10}.items():
        parts[part] = {
            "X": rng.integers(0, 256, (32, 32, 3, n), np.uint8),
            "y": (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None],
        }
        kept = {key: value for key, value in (parts[part] | changed).items() if value is not None}
        savemat(folder / f"{part}_32x32.mat", kept, do_compression=True)
    return parts["train"]


def test_digits_are_divided_by_their_range():
    data = load("digits")
    assert data.train.shape == (1437, 8, 8)
    assert data.test.shape == (360, 8, 8)
    assert data.unit_interval
    assert data.train.max() == 1
    assert data.preprocessor.invert(data.train).max() == 16
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


def test_house_numbers_are_colour_images(folder, offline):
    written = write_house_numbers(folder)
    data = load("svhn")
    assert data.train.shape == (20, 3, 32, 32)
    assert data.test.shape == (10, 3, 32, 32)
    assert data.unit_interval
    expected = np.moveaxis(written["X"], (3, 2), (0, 1))
    assert np.array_equal(data.preprocessor.invert(data.train).round(), expected)


def test_ten_stands_for_the_digit_zero(folder, offline):
    write_house_numbers(folder)
    data = load("svhn")
    assert data.label_names == tuple("0123456789")
    assert np.array_equal(data.train_labels, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2)


def test_house_numbers_are_read_as_torchvision_does(folder, offline, monkeypatch):
    write_house_numbers(folder)
    data = load("svhn")
    monkeypatch.setattr(SVHN, "_check_integrity", lambda self: True)
    theirs = SVHN(str(folder), split="train")
    assert np.array_equal(data.preprocessor.invert(data.train).round(), theirs.data)
    assert np.array_equal(data.train_labels, theirs.labels)


def test_a_sample_without_all_digits_keeps_their_names(folder, offline):
    write_house_numbers(folder, y=None)
    for part, n in {"train": 20, "test": 10}.items():
        images = np.random.default_rng(1).integers(0, 256, (32, 32, 3, n), np.uint8)
        digits = np.array([3, 10] * (n // 2), np.uint8)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": images, "y": digits})
    assert load("svhn").label_names == ("0", "3")


def test_absent_house_numbers_without_a_network_name_folder_and_variable(folder, offline):
    sentence = refusal("svhn")
    assert str(folder) in sentence
    assert "TUNER_DATA_HOME" in sentence
    assert "no network" in sentence
    assert not list(folder.iterdir())


def test_a_download_that_is_not_the_published_file_leaves_nothing_of_its_name(folder, monkeypatch):
    def served(url, path, chunk_size=0):
        Path(path).write_bytes(b"an error page")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", served)
    assert "cannot be downloaded (File not found or corrupted.)" in refusal("svhn")
    assert not (folder / "train_32x32.mat").exists()


@pytest.mark.parametrize("size", [0, 60, 200, -100])
def test_cut_house_numbers_are_named_and_kept(folder, offline, size):
    write_house_numbers(folder)
    path = folder / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:size])
    left = path.read_bytes()
    sentence = refusal("svhn")
    assert str(path) in sentence
    assert path.read_bytes() == left


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X": None}, "holds y of shape"),
        ({"y": None}, "holds X of shape"),
        ({"X": np.zeros((28, 28, 3, 20), np.uint8)}, "holds X of shape (28, 28, 3, 20)"),
        ({"y": np.arange(7, dtype=np.uint8)}, "shape (7,) for 20 points"),
    ],
)
def test_other_variables_are_refused(folder, offline, changed, message):
    write_house_numbers(folder, **changed)
    assert message in refusal("svhn")


def test_a_file_of_another_kind_in_the_place_of_house_numbers_is_named(folder, offline):
    write_house_numbers(folder)
    (folder / "test_32x32.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    sentence = refusal("svhn")
    assert "test_32x32.mat is damaged" in sentence
    assert "delete it" in sentence


def test_more_house_numbers_than_memory_are_refused(folder, offline, monkeypatch):
    write_house_numbers(folder)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5000}))
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("was read"))
    assert "GiB of memory" in refusal("svhn")


def test_images_bring_their_own_labels():
    assert "leave out labels" in refusal("digits", labels="class")


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
