import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from tests.tuner.data.refusals import refusal
from tuner.data import load


class Hostile:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(50, 3))


def saved(path: Path, x, **given) -> Path:
    np.save(path, x, **given)
    return path


def test_an_npy_file_becomes_a_data_set(tmp_path, x):
    data = load(str(saved(tmp_path / "wine.npy", x)))
    assert data.name == "wine"
    assert data.train.shape == (40, 3)
    assert data.train_labels is None


def test_an_npz_file_may_bring_labels_and_a_test_part(tmp_path, x):
    path = tmp_path / "all.npz"
    np.savez_compressed(
        path, x=x[:40], y=np.array(["a", "b"] * 20), x_test=x[40:], y_test=np.array(["b", "c"] * 5)
    )
    data = load(str(path))
    assert data.label_names == ("a", "b", "c")
    assert np.array_equal(data.train_labels, [0, 1] * 20)
    assert np.array_equal(data.test_labels, [1, 2] * 5)
    assert np.allclose(data.preprocessor.invert(data.test), x[40:], atol=1e-5)


def test_points_alone_are_enough_for_an_npz(tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x, notes=np.array("ignored"))
    assert load(str(tmp_path / "x.npz")).train.shape == (40, 3)


def test_a_hostile_pickle_is_never_opened(tmp_path, x):
    marker, folder = tmp_path / "marker", tmp_path / "data"
    folder.mkdir()
    evil = np.array([[Hostile(marker)] * 2] * 3, dtype=object)
    saved(folder / "object.npy", evil, allow_pickle=True)
    (folder / "bare.npy").write_bytes(pickle.dumps(Hostile(marker)))
    (folder / "bare.npz").write_bytes(pickle.dumps(Hostile(marker)))
    (folder / "bare.parquet").write_bytes(pickle.dumps(Hostile(marker)))
    (folder / "bare.csv").write_bytes(pickle.dumps(Hostile(marker)))
    (folder / "bare.arrow").write_bytes(pickle.dumps(Hostile(marker)))
    (folder / "bare.feather").write_bytes(pickle.dumps(Hostile(marker)))
    np.savez(folder / "x.npz", x=evil)
    np.savez(folder / "y.npz", x=x, y=evil[:, 0])
    np.savez(folder / "x_test.npz", x=x, x_test=evil)
    for path in sorted(folder.iterdir()):
        refusal(path)
        assert not marker.exists(), path.name
    np.load(folder / "object.npy", allow_pickle=True)
    assert marker.exists()  # the trap does work


@pytest.mark.parametrize("size", [0, 3, 20, 90, 140, -8])
def test_a_cut_npy_is_refused(tmp_path, x, size):
    path = saved(tmp_path / "cut.npy", x)
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("size", [0, 3, 40, 300, -30])
def test_a_cut_npz_is_refused(tmp_path, x, size):
    path = tmp_path / "cut.npz"
    np.savez_compressed(path, x=x)
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal(path)


def test_a_flipped_byte_in_an_npz_is_seen(tmp_path, x):
    path = tmp_path / "flipped.npz"
    np.savez(path, x=x)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(9, [("a", float), ("b", float)]), "structured"),
        (np.zeros(9, [("λ", float)]), "format 3.0"),
        (np.zeros((9, 2), complex), "complex128"),
        (np.full((9, 2), "text"), "text"),
        (np.zeros((9, 2), "M8[s]"), "datetime64"),
        (np.zeros(()), "shape ()"),
        (np.zeros(9), "shape (9,)"),
        (np.zeros((9, 1, 1, 1, 1)), "shape (9, 1, 1, 1, 1)"),
        (np.zeros((0, 2)), "no points"),
        (np.zeros((1, 2)), "a single point"),
        (np.ones((9, 2)), "nothing to cluster"),
    ],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_arrays_that_are_no_points_are_refused(tmp_path, x, message):
    assert message in refusal(saved(tmp_path / "bad.npy", x))


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).random((50, 3)).astype(kind)
        for kind in ("f2", "f4", ">f4", ">f8", "g")
    ]
    + [
        np.random.default_rng(0).integers(0, 9, (50, 3)).astype(kind)
        for kind in ("?", "u1", ">i4", "u8")
    ]
    + [
        np.asfortranarray(np.random.default_rng(0).random((50, 3))),
        np.random.default_rng(0).random((50, 4, 4)),
        np.random.default_rng(0).random((50, 3, 4, 4)),
    ],
    ids=lambda x: f"{x.dtype.str}-{x.ndim}",
)
def test_any_numbers_work(tmp_path, x):
    data = load(str(saved(tmp_path / "good.npy", x)))
    assert data.shape == x.shape[1:]
    assert np.isfinite(data.train).all()


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_a_sparse_matrix_is_read_with_its_zeros(tmp_path, x, form):
    x = np.where(x > 0, x, 0)
    scipy.sparse.save_npz(tmp_path / "s.npz", scipy.sparse.coo_array(x).asformat(form))
    data, dense = load(str(tmp_path / "s.npz")), load(str(saved(tmp_path / "s.npy", x)))
    assert data.fingerprint == dense.fingerprint
    assert np.array_equal(data.train, dense.train)


def test_a_sparse_matrix_must_fit_into_memory_with_its_zeros(tmp_path):
    wide = scipy.sparse.csr_array((np.ones(2), ([0, 1], [0, 2**40])), shape=(2**20, 2**41))
    scipy.sparse.save_npz(tmp_path / "s.npz", wide)
    assert "GiB of memory" in refusal(tmp_path / "s.npz")


def test_an_npz_without_x_says_what_it_has(tmp_path, x):
    np.savez(tmp_path / "no.npz", X=x, target=x)
    assert "no array x (it has X, target)" in refusal(tmp_path / "no.npz")
    np.savez(tmp_path / "no.npz")
    assert "it is empty" in refusal(tmp_path / "no.npz")


def test_labels_of_arrays_are_not_named(tmp_path, x):
    np.savez(tmp_path / "a.npz", x=x)
    assert "as y" in refusal(tmp_path / "a.npz", labels="class")
    assert "as y" in refusal(saved(tmp_path / "a.npy", x), labels="class")


@pytest.mark.parametrize("name", ["big.npy", "big.npz"])
def test_more_than_memory_is_refused_by_the_header_alone(tmp_path, monkeypatch, x, name):
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, x)
    else:
        np.savez(path, x=x)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2000}))
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("was read"))
    assert "GiB of memory" in refusal(path)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    path = tmp_path / "liar.npy"
    with path.open("wb") as stream:
        head = {"descr": "<f8", "fortran_order": False, "shape": (2**50, 2**20)}
        np.lib.format.write_array_header_1_0(stream, head)
    assert "truncated" in refusal(path)
