"""Tables: encodings, separators, ragged rows, types, and files that are cut."""

import datetime
from pathlib import Path

import numpy as np
import pytest

from .making import cut, frame, text
from .table import Case, Maker, bad, table

ROWS = [(f"{i}.5", f"{i % 7}.25", "abc"[i % 3]) for i in range(30)]
CSV = "a,b,kind\n" + "".join(f"{','.join(row)}\n" for row in ROWS)
A, B = np.arange(30) * 1.5, np.arange(30) % 7 * 1.0
DRY = "search -m kmeans --dry-run"


def _csv(name: str, content: str | bytes, *says: str, flags: str = "", code: int = 3) -> Case:
    line = f"{DRY} -d x.csv {flags}"
    return bad(f"csv {name}", line, code, *says, make=text("x.csv", content))


def _file(ending: str, name: str, make: Maker, *says: str, flags: str = "") -> Case:
    line = f"{DRY} -d x.{ending} {flags}"
    return bad(f"{ending} {name}", line, 3, *says, make=make)


TEXTS = [
    _csv("utf-16", CSV.encode("utf-16"), "x.csv", "is not UTF-8", "save it as UTF-8"),
    _csv("utf-16 without a mark", CSV.encode("utf-16-le"), "x.csv"),
    _csv("utf-32", CSV.encode("utf-32"), "x.csv", "is not UTF-8"),
    _csv("latin-1", CSV.encode() + "1,2,é\n".encode("latin-1"), "is not UTF-8"),
    _csv("only null", "\0" * 99, "x.csv"),
    _csv("null in a name", CSV.replace("kind", "ki\0nd"), "name one of", flags="--columns c"),
    _csv("zip", b"PK\x03\x04" + b"\xff" * 99, "x.csv"),
    _csv("parquet", b"PAR1" + b"\xff" * 99, "x.csv"),
    _csv("only a mark", b"\xef\xbb\xbf", "does not contain a table"),
    _csv("blank", "\n\n  \n", "does not contain a table"),
    _csv("only names", "a,b,c\n", "no points"),
    _csv("one row", "a,b\n1,2\n", "a single point", "at least 2"),
    _csv("ragged", CSV + "1,2,3,4,5\n", "x.csv", "same number of cells"),
    _csv("open quote", CSV + '1,"2,3\n', "x.csv", "same number of cells"),
    _csv("names twice", "a,a\n1,2\n3,4\n", "several columns 'a'", "rename"),
    _csv("mixed", CSV.replace("4.5,", "four,"), "'four' in row 4", "--missing-value"),
    _csv("missing", CSV.replace("4.5,", ","), "row 4", "--missing"),
    _csv("infinite", CSV.replace("\n4.5,", "\ninf,"), "inf in row 4"),
    _csv("1e400", CSV.replace("\n4.5,", "\n1e400,"), "row 4"),
    _csv("dates", "a,b\n" + "2020-01-01,1\n2021-01-02,2\n" * 9, "dates", "--drop"),
    _csv("thousands", "a;b\n" + '"1,000,000";2\n"2,000,000";3\n' * 9, "separators", "write"),
    _csv("equal rows", "a,b\n" + "1,2\n" * 9, "are equal", "points that differ"),
    _csv("formulas", "a,b\n" + "".join(f"=cmd|{i},{i}\n" for i in range(40)), "--drop"),
    _csv("long line", "a,b\n" + "1," * 100_000 + "\n", "x.csv"),
    _csv("long cell", f"a,b\n{'x' * 300_000},1\n{'y' * 200_000},2\n", "x.csv"),
    _csv("a cell of 5 MiB", f"a,b\n{'x' * (5 << 20)},1\nz,2\n", "x.csv"),
    _csv("labels missing", CSV, "'kinds'", "did you mean 'kind'", flags="--labels kinds"),
    _csv(
        "labels of one class",
        CSV.replace("b\n", "a\n").replace("c\n", "a\n"),
        "single class",
        flags="--labels kind",
    ),
    _csv(
        "labels with gaps",
        CSV.replace("4.25,b", "4.25,"),
        "no label in row",
        flags="--labels kind",
    ),
    _csv("only labels", "kind\na\nb\n", "no columns to cluster", flags="--labels kind"),
    _csv("all dropped", CSV, "no columns to cluster", flags="--drop a,b,kind"),
    _csv("unknown column", CSV, "no such column", "name one of these", flags="--columns a,c"),
    _csv("ordinal lacks", CSV, "'c'", "--ordinal", flags="--ordinal kind=a,b"),
    _csv(
        "strict",
        "id,b\n" + "".join(f"{i},{i % 3}\n" for i in range(40)),
        "--strict",
        flags="--strict",
    ),
    _csv("log of negatives", CSV.replace("4.5", "-4.5"), "log1p", flags="--scale log1p"),
    _csv("formats", CSV, "--layer", "leave it out", flags="--layer x", code=2),
    _csv("a column of deceit", "a\u202e,b\n1,2\n3,4\n", "name one of these", flags="--columns a"),
    _csv(
        "a forged line",
        'a,"b\nerror: all is well"\n1,2\n3,x\n4,y\n5,z\n',
        "error: all",
        flags="--columns c",
    ),
]
VECTORS = [[1.0, 2.0], [1.0]] * 15
FRAMES = [
    _file(ending, name, frame(f"x.{ending}", **columns), *says, flags=flags)
    for ending in ("parquet", "feather")
    for name, columns, says, flags in (
        ("no rows", {"a": A[:0], "b": B[:0]}, ("no points",), ""),
        ("no columns", {}, ("x.",), ""),
        ("structs", {"a": A, "s": [{"p": 1}, {"p": 2}] * 15}, ("s",), ""),
        ("maps of lists", {"a": A, "s": [[[1]], [[2]]] * 15}, ("s",), ""),
        ("ragged lists", {"a": A, "s": VECTORS}, ("s",), ""),
        ("bytes", {"a": A, "s": [f"{i}".encode() for i in range(30)]}, ("s",), ""),
        (
            "times",
            {"a": A, "s": [datetime.datetime(2020, 1, i + 1) for i in range(30)]},
            ("s", "dates"),
            "",
        ),
        ("all missing", {"a": A, "s": [None] * 30}, ("s",), ""),
        ("gaps", {"a": A, "s": [None, *B[1:]]}, ("row 0", "--missing"), ""),
        ("labels of lists", {"a": A, "s": [[1.0, 2.0]] * 30}, ("vectors",), "--labels s"),
        ("infinite", {"a": A, "s": [np.inf, *B[1:]]}, ("inf in row 0",), ""),
    )
]
BROKEN = [
    _file(ending, name, change(frame(f"x.{ending}", a=A, b=B)), "truncated", "save it again")
    for ending in ("parquet", "feather", "arrow")
    for name, change in (
        ("cut", lambda make, e=ending: cut(f"x.{e}", 0.7, make)),
        ("text", lambda _, e=ending: text(f"x.{e}", "hello " * 99)),
        ("zeros", lambda _, e=ending: text(f"x.{e}", b"\0" * 4096)),
        ("magic", lambda _, e=ending: text(f"x.{e}", b"PAR1\xff\xff\xff\x7fPAR1")),
    )
]
OTHERS = [
    _file("feather", "first version", text("x.feather", b"FEA1" + b"\0" * 99), "second version"),
    _file("h5ad", "text", text("x.h5ad", "hello"), "not an AnnData file", "save it again"),
    _file("h5ad", "magic", text("x.h5ad", b"\x89HDF\r\n\x1a\n" + b"\xff" * 99), "save it again"),
    _file("xlsx", "a spreadsheet", text("x.xlsx", b"PK"), "spreadsheet", "convert it"),
    _file("pkl", "a pickle", text("x.pkl", b"\x80\x04"), "'.pkl'", "give a file"),
    _file("csv.gz", "compressed", text("x.csv.gz", b"\x1f\x8b"), "'.gz'", "give a file"),
]


@table(*TEXTS)
def test_a_text_that_is_no_table_is_refused(case, check):
    check(case)


@table(*FRAMES, *BROKEN, *OTHERS)
def test_a_table_that_cannot_be_clustered_is_refused(case, check):
    check(case)


def _h5ad(change: str) -> Maker:
    def make(here: Path) -> None:
        import h5py

        anndata = pytest.importorskip("anndata")
        anndata.AnnData(np.stack([A, B], 1).astype(np.float32)).write_h5ad(here / "x.h5ad")
        with h5py.File(here / "x.h5ad", "r+") as file:
            if change == "lies":
                del file["X"]
                file.create_dataset("X", shape=(10**12, 9), dtype="f4", chunks=(1000, 9))
            elif change == "elsewhere":
                del file["X"]
                file["X"] = h5py.ExternalLink("/etc/passwd", "X")
            elif change == "raw":
                del file["X"]
                file.create_dataset("X", (30, 2), "f4", external=[("/etc/passwd", 0, 240)])
            elif change == "objects":
                del file["X"]
                file["X"] = np.array([b"a", b"b"], "S1")
            else:
                del file[change]

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", ["lies", "elsewhere", "raw", "objects", "obs", "X"])
def test_an_h5ad_file_that_lies_is_refused(change, check):
    check(bad("", f"{DRY} -d x.h5ad", 3, "x.h5ad", make=_h5ad(change)))
