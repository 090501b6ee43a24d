"""Models: folders that are none, manifests that lie, newer schemas, tampered weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tuner import sabotage
from tests.tuner.mlflow_store import OLD_LOADER

from .making import fifo, link_to, npy, text
from .table import Maker, bad, table, tree

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

Change = Callable[[Path], object]
WEIGHTS, DOCUMENT, MANIFEST = "weights.safetensors", "model.json", "manifest.json"


def _document(**values: Any) -> Change:
    """Return what changes the document of a model and signs it again."""

    def change(folder: Path) -> None:
        path = folder / DOCUMENT
        document = {**json.loads(path.read_text()), **values}
        path.write_text(json.dumps({k: v for k, v in document.items() if v != "gone"}))
        sabotage.sign(folder)

    return change


def _manifest(content: object) -> Change:
    return lambda folder: (folder / MANIFEST).write_text(
        content if isinstance(content, str) else json.dumps(content)
    )


def _listed(name: str) -> Change:
    """Return what makes the manifest list a file of another name."""

    def change(folder: Path) -> None:
        document = json.loads((folder / MANIFEST).read_text())
        document["files"][name] = document["files"].pop(WEIGHTS)
        (folder / MANIFEST).write_text(json.dumps(document))

    return change


def _signed(maker: Maker) -> Change:
    return lambda folder: (maker(folder), sabotage.sign(folder))


def _instead(name: str, maker: Maker) -> Change:
    return lambda folder: ((folder / name).unlink(), maker(folder))


def _weights(**tensors: object) -> Change:
    def change(folder: Path) -> None:
        import safetensors.torch
        import torch

        found = safetensors.torch.load_file(folder / WEIGHTS)
        found |= {k: torch.as_tensor(v) for k, v in tensors.items()}
        safetensors.torch.save_file(found, folder / WEIGHTS)
        sabotage.sign(folder)

    return change


HEADER = (10**18).to_bytes(8, "little")
CHANGES: dict[str, tuple[Change, str]] = {
    "weights cut": (lambda f: sabotage.cut(f / WEIGHTS), "was truncated"),
    "weights flipped": (lambda f: sabotage.flip(f / WEIGHTS), "sha256"),
    "weights gone": (lambda f: sabotage.remove(f / WEIGHTS), "cannot be read"),
    "document cut": (lambda f: sabotage.cut(f / DOCUMENT), "was truncated"),
    "manifest gone": (lambda f: sabotage.remove(f / MANIFEST), "cannot be read"),
    "manifest text": (_manifest("hello"), "is not JSON"),
    "manifest deep": (_manifest("[" * 100_000), "is not JSON"),
    "manifest list": (_manifest([1]), "is not a JSON object"),
    "manifest schema 0": (_manifest({"schema": 0, "files": {}}), "not a version number"),
    "manifest schema 99": (_manifest({"schema": 99, "files": {}}), "upgrade tuner"),
    "manifest schema true": (_manifest({"schema": True, "files": {}}), "not a version number"),
    "manifest no schema": (_manifest({"files": {}}), "not a version number"),
    "manifest no files": (_manifest({"schema": 1}), "lists no files"),
    "manifest list of files": (_manifest({"schema": 1, "files": [1]}), "lists no files"),
    "manifest lists no entry": (_manifest({"schema": 1, "files": {WEIGHTS: 1, DOCUMENT: 1}}), ""),
    "manifest up": (_listed("../weights.safetensors"), "instead of"),
    "manifest absolute": (_listed("/etc/passwd"), "instead of"),
    "manifest more": (_listed("extra.pkl"), "instead of"),
    "manifest pipe": (_instead(MANIFEST, fifo(MANIFEST)), "not a regular file"),
    "manifest endless": (
        _instead(MANIFEST, link_to(MANIFEST, Path("/dev/zero"))),
        "not a regular file",
    ),
    "weights pipe": (_instead(WEIGHTS, fifo(WEIGHTS)), "not a regular file"),
    "weights link out": (_instead(WEIGHTS, link_to(WEIGHTS, Path("/etc/passwd"))), WEIGHTS),
    "weights text": (_signed(text(WEIGHTS, "hello")), "not a safetensors file"),
    "weights of a huge header": (_signed(text(WEIGHTS, HEADER + b"{}")), "not a safetensors"),
    "weights empty": (_signed(text(WEIGHTS, b"")), "not a safetensors file"),
    "weights of more": (_weights(**{"weights/more": [1.0]}), "missing or unknown"),
    "weights of less": (_signed(text(WEIGHTS, b"\2\0\0\0\0\0\0\0{}")), "missing or unknown"),
    "document text": (_signed(text(DOCUMENT, "hello")), "is not JSON"),
    "document list": (_signed(text(DOCUMENT, "[]")), "is not a JSON object"),
    "document utf-16": (_signed(text(DOCUMENT, "{".encode("utf-16"))), "is not JSON"),
    "document 10^5000": (_signed(text(DOCUMENT, '{"schema": 1' + "0" * 5000 + "}")), ": "),
    "schema 0": (_document(schema=0), "not a version number"),
    "schema 99": (_document(schema=99), "upgrade tuner"),
    "schema 1.0": (_document(schema=1.0), "not a version number"),
    "schema text": (_document(schema="1"), "not a version number"),
    "no schema": (_document(schema="gone"), "not a version number"),
    "method os": (_document(method="os"), "no method 'os'"),
    "method up": (_document(method="../kmeans"), "no method '../kmeans'"),
    "method of a stranger": (_document(method="x", distribution="evil"), "is not installed"),
    "method list": (_document(method=["kmeans"]), "no method"),
    "config list": (_document(config=[1]), "usable model"),
    "config more": (_document(config={"n_componentz": 3}), "did you mean 'n_components'"),
    "config 0 clusters": (_document(config={"n_components": 0}), "out of range"),
    "config 10^9 clusters": (_document(config={"n_components": 10**9}), "cannot have"),
    "shape text": (_document(shape="4"), "not a list of sizes"),
    "shape negative": (_document(shape=[-4]), "not a list of sizes"),
    "shape huge": (_document(shape=[10**12]), "cannot have"),
    "shape 10^30": (_document(shape=[10**30]), "cannot have"),
    "shape other": (_document(shape=[5]), "usable model"),
    "encoder unknown": (_document(encoder={"kind": "pickle", "path": "../x"}), "usable model"),
    "encoder text": (_document(encoder="os.system"), "usable model"),
    "encoder list": (_document(encoder=[1]), "usable model"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_was_tampered_with_is_refused(name, check, done, here):
    change, says = CHANGES[name]
    shutil.copytree(done.model, here / "model")
    change(here / "model")
    npy("x.npy", np.ones((3, 4)))(here)
    check(bad("", "predict model x.npy", 3, "model", says))


@pytest.mark.parametrize("name", [WEIGHTS, DOCUMENT, MANIFEST])
def test_a_hostile_pickle_in_a_model_is_never_opened(name, check, done, here):
    marker = here / "marker"
    shutil.copytree(done.model, here / "model")
    (here / "model" / name).write_bytes(sabotage.hostile_pickle(marker))
    if name != MANIFEST:
        sabotage.sign(here / "model")
    npy("x.npy", np.ones((3, 4)))(here)
    check(bad("", "predict model x.npy", 3, name))
    assert not marker.exists()


def _registered(done: Any) -> Path:
    """Return the folder of the registered model's files."""
    (weights,) = (done.folder / "mlruns").rglob(WEIGHTS)
    return weights.parent


@pytest.mark.parametrize("how", [sabotage.cut, sabotage.flip, sabotage.remove])
def test_a_registered_model_that_was_tampered_with_is_refused(how, check, done, here, tmp_path):
    folder = _registered(done)
    kept = (folder / WEIGHTS).read_bytes()
    npy("x.npy", np.ones((3, 4)))(here)
    how(folder / WEIGHTS)
    before = tree(folder)
    try:
        line = ("predict", "models:/blobs@champion", "x.npy", *done.flags[2:])
        check(bad("", line, 3, WEIGHTS))
        assert tree(folder) == before
    finally:
        (folder / WEIGHTS).write_bytes(kept)


MODELS = [
    bad(f"model {name}", ("sample", uri), 2, *says)
    for name, uri, says in (
        ("missing", "nope", ("'nope' is not a folder", "models:/NAME@champion")),
        ("null byte", "a\0b", ("a\\x00b", "models:/NAME@champion")),
        ("home", "~nobody9/x", ("~nobody9/x", "models:/NAME@champion")),
        ("s3", "s3://key:secret@b/x", ("s3://key:***@b/x", "AWS_ACCESS_KEY_ID")),
        ("http", "http://me:secret@h/x?token=secret", ("http://", "models:/NAME@champion")),
        ("no name", "models:/", ("'models:/'", "models:/NAME@champion")),
        ("only models", "models:", ("'models:'", "models:/NAME@champion")),
        ("up", "models:/../blobs", ("'models:/../blobs'", "models:/NAME@champion")),
        ("hex", "models:/blobs/0x1", ("'models:/blobs/0x1'", "models:/NAME@champion")),
        ("full-width", "models:/blobs/１", ("'models:/blobs/１'", "models:/NAME@champion")),
        ("long", "a" * 5000, ("is not a folder", "models:/NAME@champion")),
        ("negative", "models:/blobs/-1", ("'models:/blobs/-1'", "models:/NAME@champion")),
        ("version 99", "models:/blobs/99", ("no version 99", "existing versions: 1")),
        ("10^30", "models:/blobs/" + "9" * 30, ("no version", "existing versions: 1")),
        ("alias", "models:/blobs@champoin", ("did you mean 'champion'",)),
        ("empty alias", "models:/blobs@", ("'models:/blobs@'", "models:/NAME@champion")),
        ("quote", "models:/blo'bs", ("no registered model", "existing models: blobs")),
        ("unknown", "models:/blob", ("did you mean 'blobs'",)),
        ("run", "runs:/none/model", ("runs:/none/model",)),
        ("run up", "runs:/../../etc/passwd", ("runs:/../../etc/passwd",)),
        ("run empty", "runs:/", ("'runs:/'",)),
    )
]
PROMOTIONS = [
    bad("no version", "promote blobs 99", 2, "no version 99", "existing versions: 1"),
    bad("version 0", "promote blobs 0", 2, "no version 0", "existing versions: 1"),
    bad("version -1", ("promote", "blobs", "--", "-1"), 2, "no version -1", "existing versions"),
    bad("version text", "promote blobs two", 2, "'two'", "give a whole number"),
    bad("version 10^30", "promote blobs " + "9" * 30, 2, "no version", "existing versions: 1"),
    bad("no model", "promote blob 1", 2, "did you mean 'blobs'"),
    bad("nothing before", "rollback blobs", 2, "'blobs' has no previous champion"),
]


@table(*MODELS)
def test_a_model_that_is_not_there_is_refused(case, check, done):
    check(bad("", (*case.line, *done.flags[2:]), case.code, *case.says))


@table(*PROMOTIONS)
def test_a_version_that_is_not_there_is_not_promoted(case, check, done):
    head, *rest = case.line
    flags = done.flags if head == "promote" else done.flags[2:]
    check(bad("", (head, *flags, *rest), case.code, *case.says))


POINTS = {
    "too few columns": (np.ones((3, 3)), "(3, 3)"),
    "too many columns": (np.ones((3, 5)), "(3, 5)"),
    "images": (np.ones((3, 4, 4)), "(3, 4, 4)"),
    "none": (np.ones((0, 4)), "no points"),
    "NaN": (np.full((3, 4), np.nan), "row 0"),
    "inf": (np.full((3, 4), np.inf), "row 0"),
    "1e300": (np.full((3, 4), 1e300), "row 0"),
    "text": (np.full((3, 4), "a"), "not numbers"),
    "complex": (np.full((3, 4), 1j), "not numbers"),
    "objects": (np.full((3, 4), None), "not numbers"),
}


@pytest.mark.parametrize("name", POINTS)
def test_points_that_do_not_fit_a_model_are_refused(name, check, done, here):
    x, says = POINTS[name]
    npy("x.npy", x)(here)
    check(bad("", ("predict", done.model, "x.npy"), 3, says))


OUTPUTS = [
    ("predict", "x.npy", "--out=p.txt", 2, "end in .parquet or .csv"),
    ("predict", "x.npy", "--out=.", 2, "end in"),
    ("predict", "x.npy", "--out=no/p.csv", 74, "no/p.csv"),
    ("predict", "x.npy", "--out=x.npy/p.csv", 74, "x.npy/p.csv"),
    ("predict", "x.npy", "--out=a\0.csv", 2, "--out"),
    ("predict", "x.npy", f"--out={'a' * 300}.csv", 74, ".csv"),
    ("predict", "nope.npy", "--out=p.csv", 3, "there is no file nope.npy"),
    ("predict", "x.npy", "--header", 2, "leave it out"),
    ("predict", "x.npy", "--layer=a", 2, "leave it out"),
    ("predict", "x.npy", "--labels=y", 3, "leave out labels"),
    ("predict", "x.npy", "--tracking-uri=nope", 2, "'nope'"),
    ("sample", "--out=a.jpg", 2, "end in"),
    ("sample", "--out=no/a.npy", 74, "no/a.npy"),
    ("sample", "--out=x.npy/a.png", 74, "x.npy/a.png"),
]


@pytest.mark.parametrize("given", OUTPUTS, ids=lambda given: " ".join(given[:-2])[:40])
def test_a_result_that_cannot_be_written_is_refused(given, check, done, here):
    head, *rest, code, says = given
    npy("x.npy", np.ones((3, 4)))(here)
    check(bad("", (head, done.other_model, *rest), code, says))
