"""NumPy files: headers that lie, types that are no numbers, values that cannot be used."""

import io
from pathlib import Path

import numpy as np

from tests.tuner.sabotage import hostile_pickle

from .making import archive, both, cut, npy, npy_header, npz, text
from .table import Case, Maker, bad, table

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 3
HALF = np.array([[1, 2], [np.inf, 3]], np.float16)


def _npy(name: str, make: Maker, *says: str, code: int = 3) -> Case:
    return bad(
        f"npy {name}", "search -m kmeans --dry-run -d x.npy", code, "x.npy", *says, make=make
    )


def _npz(name: str, make: Maker, *says: str, code: int = 3) -> Case:
    return bad(
        f"npz {name}", "search -m kmeans --dry-run -d x.npz", code, "x.npz", *says, make=make
    )


def _header(name: str, shape: str, kind: str = "<f8", **how: object) -> Case:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    return _npy(name, npy_header("x.npy", text, **how))  # type: ignore[arg-type]


def _with(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 1] = value
    return x


def _bytes(x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


HEADERS = [
    _header("10^18 rows", f"({10**18}, 3)"),
    _header("10^30 rows", f"({10**30}, 3)"),
    _header("2^63 values", f"({2**32}, {2**31})"),
    _header("negative rows", "(-5, 3)"),
    _header("a billion columns", f"(2, {10**9})"),
    _header("rows that are true", "(True, 3)"),
    _header("fractions of rows", "(2.5, 3)"),
    _header("rows as a text", "('6', 3)"),
    _header("no shape", "None"),
    _header("100 axes", f"({'1, ' * 100})"),
    _header("an unknown type", "(60, 3)", kind="<x8"),
    _header("a type that calls", "(60, 3)", kind="os.system(1)"),
    _header("objects", "(60, 3)", kind="|O"),
    _header("values of no bytes", "(60, 3)", kind="|V0"),
    _header("newer version", "(60, 3)", version=b"\x09\x00"),
    _header("version 0", "(60, 3)", version=b"\x00\x00"),
    _npy("no dictionary", npy_header("x.npy", "[1, 2, 3]"), "save it again"),
    _npy("a header that calls", npy_header("x.npy", "__import__('os').mkdir('marker')")),
    _npy("a deep header", npy_header("x.npy", "(" * 5000), "save it again"),
    _npy("a header of 60,000 bytes", npy_header("x.npy", "{" + "'a': 1, " * 7000 + "}")),
    _npy("missing keys", npy_header("x.npy", "{'descr': '<f8'}"), "save it again"),
    _npy("header version 3", npy_header("x.npy", "{}", version=b"\x03\x00"), "3.0"),
]
FILES = [
    _npy("empty", text("x.npy", b""), "is empty", "save it again"),
    _npy("one byte", text("x.npy", b"\x93"), "truncated", "save it again"),
    _npy("only magic", text("x.npy", b"\x93NUMPY"), "truncated", "save it again"),
    _npy("cut", cut("x.npy", 0.5, npy("x.npy", X)), "truncated", "save it again"),
    _npy("cut header", text("x.npy", _bytes(X)[:40]), "truncated", "save it again"),
    _npy("a table inside", text("x.npy", "a,b\n1,2\n"), "truncated", "save it again"),
    _npy("an archive inside", cut("x.npy", 1, archive("x.npy", a=b"1")), "save it again"),
    _npy("pickle", text("x.npy", hostile_pickle(Path("marker"))), "save it again"),
    _npy("object", npy("x.npy", np.array([[1, "a"]] * 9, object)), "not numbers"),
    _npy("structured", npy("x.npy", np.zeros(9, "f8,i4")), "structured"),
    _npy("complex", npy("x.npy", X + 1j), "complex128", "not numbers"),
    _npy("text", npy("x.npy", X.astype(str)), "text", "not numbers"),
    _npy("dates", npy("x.npy", np.zeros((9, 2), "M8[s]")), "datetime64", "not numbers"),
    _npy("0 axes", npy("x.npy", np.float64(1)), "shape ()", "(points, features)"),
    _npy("1 axis", npy("x.npy", X[:, 0]), "shape (60,)", "(points, features)"),
    _npy("5 axes", npy("x.npy", X.reshape(5, 2, 3, 2, 3)), "(points, features)"),
    _npy("no points", npy("x.npy", X[:0]), "no points", "at least 2"),
    _npy("no columns", npy("x.npy", X[:, :0]), "shape (60, 0)"),
    _npy("one point", npy("x.npy", X[:1]), "a single point", "at least 2"),
    _npy("equal points", npy("x.npy", np.ones((60, 3))), "are equal", "points that differ"),
    _npy("NaN", npy("x.npy", _with(np.nan)), "row 7", "--missing"),
    _npy("inf", npy("x.npy", _with(np.inf)), "inf in row 7"),
    _npy("-inf", npy("x.npy", _with(-np.inf)), "-inf in row 7"),
    _npy("1e38", npy("x.npy", _with(1e38)), "1e+38 in row 7"),
    _npy("float16 inf", npy("x.npy", HALF), "inf in row 1"),
    _npy("images of unclear axes", npy("x.npy", X[:30].reshape(2, 3, 5, 3)), "first or last"),
]
ARCHIVES = [
    _npz("not a zip", text("x.npz", b"PK\x03\x04"), "truncated", "save it again"),
    _npz("empty zip", archive("x.npz"), "it is empty", "save the points as x"),
    _npz("no x", npz("x.npz", data=X), "it has data", "save the points as x"),
    _npz("cut", cut("x.npz", 0.9, npz("x.npz", x=X)), "truncated", "save it again"),
    _npz("x is pickled", npz("x.npz", x=np.array([[1, "a"]] * 9, object)), "not numbers"),
    _npz("labels of wrong length", npz("x.npz", x=X, y=Y[:9]), "shape (9,)", "60 points"),
    _npz("labels of two axes", npz("x.npz", x=X, y=np.zeros((60, 2))), "one label per point"),
    _npz("one class", npz("x.npz", x=X, y=Y * 0), "a single class", "at least 2"),
    _npz("labels NaN", npz("x.npz", x=X, y=Y * np.nan), "nan in row 0", "every point a label"),
    _npz("labels complex", npz("x.npz", x=X, y=Y * 1j), "complex128", "integer or string"),
    _npz("test of other width", npz("x.npz", x=X, x_test=X[:, :2]), "the same shape"),
    _npz("test without points", npz("x.npz", x=X, x_test=X[:0]), "no points"),
    _npz("test labels alone", npz("x.npz", x=X, y_test=Y), "add x_test"),
    _npz("x is no array", archive("x.npz", **{"x.npy": b"hello"}), "save it again"),
    _npz("up and away", archive("x.npz", **{"../x.npy": _bytes(X)}), "save the points as x"),
    _npz("sparse lies", archive("x.npz", data=b"1", format=b"csr", shape=b"9"), "save it again"),
    _npz(
        "sparse of 10^12 rows",
        npz("x.npz", data=X[:, 0], format=b"csr", shape=np.array([10**12, 9])),
        "GiB",
    ),
    _npz(
        "sparse of one axis",
        npz("x.npz", data=X[:, 0], format=b"csr", shape=np.array([9])),
        "save it again",
    ),
    _npz(
        "encrypted", text("x.npz", b"PK\x03\x04" + b"\x14\0\x01\0" + b"\0" * 40), "save it again"
    ),
    _npz(
        "sparse pickle",
        npz("x.npz", data=np.array([None]), format=b"csr", shape=np.array([9, 9])),
        "x.npz",
    ),
]


@table(*HEADERS)
def test_a_header_that_lies_is_refused(case, check):
    check(case)


@table(*FILES, *ARCHIVES)
def test_an_array_that_cannot_be_clustered_is_refused(case, check):
    check(case)


def test_labels_of_an_array_without_columns_are_refused(check):
    line = "search -m kmeans --dry-run -d x.npy --labels y"
    says = ("'y'", "plain array", "leave out labels")
    check(bad("", line, 3, *says, make=both(npy("x.npy", X))))
