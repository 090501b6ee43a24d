"""Where a data file should be: links, pipes, devices, permissions, changes while it is read."""

import os
from pathlib import Path

import numpy as np
import pytest

from tuner.data.formats import files

from .making import both, dangling, fifo, folder, image, link_to, loop, npy, text, unix_socket
from .powers import without_powers
from .table import Case, Maker, bad, require_sentence, table, tree

DRY = "search -m kmeans --dry-run -d"
X = np.random.default_rng(0).normal(size=(60, 3))


def _place(name: str, make: Maker | None, *says: str) -> list[Case]:
    return [
        bad(f"{name} {ending}", f"{DRY} x.{ending}", 3, f"x.{ending}", *says, make=renamed(ending))
        for ending in ("npy", "npz", "csv", "parquet", "arrow", "h5ad")
        for renamed in [lambda e, make=make: make and both(make, lambda here: _rename(here, e))]
    ]


def _rename(here: Path, ending: str) -> None:
    os.rename(here / "x", here / f"x.{ending}")


PLACES = [
    *_place("missing", None, "there is no file", "check the path"),
    *_place("folder", folder("x"), "without images"),
    *_place("dangling", dangling("x"), "check the path"),
    *_place("pipe", fifo("x"), "not a regular file", "copy the data"),
    *_place("socket", unix_socket("x"), "not a regular file", "copy the data"),
    *_place("endless", link_to("x", Path("/dev/zero")), "not a regular file"),
    *_place("null device", link_to("x", Path("/dev/null")), "not a regular file"),
    *_place("empty", text("x", b""), "is empty", "save it again"),
    *_place("process", link_to("x", Path("/proc/self/mem")), "x."),
]
LOOPS = [
    bad(f"loop {ending}", f"{DRY} x.{ending}", 3, f"x.{ending}", make=loop(f"x.{ending}"))
    for ending in ("npy", "csv", "parquet")
]


@table(*PLACES, *LOOPS)
def test_what_is_no_file_of_data_is_refused(case, check):
    check(case)


@pytest.mark.parametrize("how", ["longer", "shorter", "touched", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read_is_refused(how, tuner, here, monkeypatch):
    read = files._READERS[".npy"]

    def changed(path: Path, *given: object) -> object:
        content = read(path, *given)  # type: ignore[arg-type]
        raw = path.read_bytes()
        if how == "replaced":
            path.rename(here / "old.npy")
        if how == "removed":
            path.unlink()
        elif how == "touched":
            os.utime(path, (0, 0))
        else:
            path.write_bytes({"longer": raw + b"x", "shorter": raw[:-1], "replaced": raw}[how])
        return content

    npy("x.npy", X)(here)
    monkeypatch.setitem(files._READERS, ".npy", changed)
    ran = tuner(*f"{DRY} x.npy".split())
    assert ran.code == 3
    require_sentence(ran.error_message, ("x.npy", "check the path" if how == "removed" else "try"))
    assert {path.name for path in here.iterdir()} <= {"x.npy", "old.npy"}


@pytest.mark.parametrize("seconds", [0, -86400, 4e9, 1e11])
def test_the_time_of_a_file_does_not_matter(seconds, tuner, here):
    npy("x.npy", X)(here)
    os.utime(here / "x.npy", (seconds, seconds))
    ran = tuner(*f"{DRY} x.npy".split())
    assert (ran.code, ran.err) == (0, "")


DENIED = [
    bad("data", f"{DRY} secret.npy", 3, "secret.npy", "ermission"),
    bad("data in a closed folder", f"{DRY} closed/x.npy", 3, "closed/x.npy", "ermission"),
    bad("images in a closed folder", f"{DRY} unlisted", 3, "unlisted", "ermission"),
    bad("an image", f"{DRY} images", 3, "images/b.png", "ermission"),
    bad("space", "search -m kmeans --dry-run --space secret.yaml", 2, "secret.yaml", "ermission"),
    bad("ledger", "status --storage sqlite:///secret.db", 2, "secret.db", "ermission"),
    bad("mlflow", "models --tracking-uri sqlite:///secret.db", 2, "secret.db", "ermission"),
    bad("artifacts", "search -m kmeans --artifacts read-only/a", 74, "read-only/a", "ermission"),
    bad("out", "train -m kmeans --out read-only/a", 74, "read-only/a", "ermission"),
    bad("picture", "data arcs --out read-only/a.png", 74, "read-only/a.png", "ermission"),
    bad("model", "sample model", 3, "model", "ermission"),
]


def _fill(here: Path) -> None:
    for name in ("secret.npy", "secret.yaml", "secret.db"):
        (here / name).write_bytes(b"x" * 99)
        (here / name).chmod(0o000)
    for name, mode in (("closed", 0o600), ("unlisted", 0o311), ("read-only", 0o555)):
        (here / name).mkdir()
        npy("x.npy", X)(here / name)
        (here / name).chmod(mode)
    both(image("images/a.png"), image("images/b.png"))(here)
    (here / "images" / "b.png").chmod(0o000)
    text_folder = here / "model"
    text_folder.mkdir()
    (text_folder / "model.json").write_text("{}")
    (text_folder / "manifest.json").write_text("{}")
    (text_folder / "manifest.json").chmod(0o000)


@table(*DENIED)
def test_what_may_not_be_read_or_written_is_refused(case, tuner, here):
    _fill(here)
    before = tree(here)
    with without_powers():
        ran = tuner(*case.line)
    assert (ran.code, ran.out) == (case.code, "")
    require_sentence(ran.error_message, case.says)
    assert tree(here) == before
