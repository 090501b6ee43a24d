"""Whole searches whose files are in S3."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tuner.in_process import Resources, blobs, no_ray
from tests.tuner.mlflow_store import OLD_LOADER
from tests.tuner.object_stores import SECRET, Store, running_store, set_variables
from tests.tuner.reports.parsed_page import parsed
from tuner.cli import app
from tuner.errors import StoreError
from tuner.orchestration.doctor import examine
from tuner.orchestration.locations import Locations, artifacts_at
from tuner.orchestration.search import Session, resume, search
from tuner.orchestration.search_report import write_report
from tuner.orchestration.sync import sync
from tuner.registry import load
from tuner.study.study import Study
from tuner.tracking import connect
from tuner.training import store_access
from tuner.training.evaluations import read_evaluations
from tuner.training.pretraining_cache import CacheEntry

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with running_store() as started:
        set_variables(started, monkeypatch)
        yield started


@pytest.fixture
def session(store: Store, tmp_path: Path) -> Session:
    locations = Locations(
        storage=f"sqlite:///{tmp_path / 'tuner.db'}",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifacts=artifacts_at(store.url),
    )
    return Session(locations=locations, resources=Resources(), on_message=lambda _: None)  # type: ignore[arg-type]


def study(tmp_path: Path, **changes: Any) -> Study:
    with np.load(blobs(tmp_path / "blobs.npz")) as data:
        given = {"dataset": data["x"], "labels": data["y"]}
    options: dict[str, Any] = {
        "methods": ("kmeans", "gmm"),
        "trials": 3,
        "replicas": 2,
        "finalists": 2,
        "finalist_seeds": 2,
        "sampler": "random",
        "fixed": {"n_components": 3},
        "name": "far",
    }
    return Study(**{**options, **given, **changes})


def test_a_search_keeps_its_files_and_its_data_in_a_store(
    session: Session, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with no_ray():
        result = search(study(tmp_path, fixed={}), session)
    assert [finding.wrong for finding in examine("far", session.locations) if finding.wrong] == []
    kinds = {name.rpartition("/")[2] for name in store.names()}
    assert kinds >= {"metrics.jsonl", "model.json", "curves.png", "score_by_k.png", "array.npz"}
    assert not any("checkpoints" in name or ".probe" in name for name in store.names())
    assert sync("far", session.locations).runs == 5
    with no_ray():
        more = resume("far", session, trials=5)
    assert more.counts["total"] == 5
    assert more.best["score"] >= result.best["score"]
    assert [finding.wrong for finding in examine("far", session.locations) if finding.wrong] == []
    client = connect(session.locations.tracking_uri)
    (parent,) = client.search_runs(["1"], "tags.`tuner.role` = 'search'")
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"pictures", "report.html"}
    pictures = {file.path for file in client.list_artifacts(parent.info.run_id, "pictures")}
    assert "pictures/curves.png" in pictures
    write_report("far", tmp_path / "far.html", session.locations)
    page = parsed((tmp_path / "far.html").read_text(encoding="utf-8"))
    assert {element.section for element in page.elements if element.tag == "img"} >= {"pictures"}
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {
        *("blobs", "far", "mlflow", "mlruns", "tuner")
    }, "no folder was taken for the store"


def test_models_load_from_a_store_and_the_doctor_finds_damage(
    session: Session, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with no_ray():
        search(study(tmp_path), session)
    name = next(n for n in store.names() if "finalist-0" in n and n.endswith("model.json"))
    model = load(f"s3://{store.bucket}/{name.rpartition('/')[0]}")
    assert model.n_components == 3
    store.damage(name, b"{}")
    curve = next(n for n in store.names() if "trial-00001" in n)
    store.damage(curve, None)
    wrong = [finding.wrong for finding in examine("far", session.locations) if finding.wrong]
    assert len(wrong) == 2
    assert "metrics.jsonl is missing or truncated for trial 1" in wrong[0]
    assert "model.json was truncated or changed" in wrong[1]


def test_a_store_that_goes_away_leaves_a_search_that_resumes(
    session: Session, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    away = study(tmp_path, dataset=str(tmp_path / "blobs.npz"), labels=None)

    def stop() -> None:
        store.stop()
        monkeypatch.setattr(store_access, "PATIENCE", 1.0)

    stops_after_a_trial = iter([lambda: None, lambda: None, stop])
    watched = Session(
        locations=session.locations,
        resources=session.resources,
        on_message=lambda _: None,
        on_progress=lambda _: next(stops_after_a_trial, lambda: None)(),
    )
    with no_ray(), pytest.raises(StoreError, match="has not answered"):
        search(away, watched)
    monkeypatch.setattr(store_access, "PATIENCE", 60.0)
    store.start()
    with no_ray():
        result = resume("far", session)
    assert result.counts["total"] == 3


def test_pretrained_networks_are_shared_without_locks(store: Store) -> None:
    cache = artifacts_at(store.url) / ".pretrained"
    first, second = CacheEntry(cache, "key"), CacheEntry(cache, "key")
    assert first.load_or_lock("cpu") is None
    assert second.load_or_lock("cpu") is None, "nobody waits"
    first.store({"epoch": 3})
    second.store({"epoch": 3})
    assert CacheEntry(cache, "key").load_or_lock("cpu") == {"epoch": 3}
    store.damage("files/.pretrained/key/document.json", b"{}")
    assert CacheEntry(cache, "key").load_or_lock("cpu") is None


def run(here: Path, store: Store, *words: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    program = [sys.executable, "-m", "tuner", *words]
    return subprocess.run(
        program,
        cwd=here,
        env={**own, **store.variables, "TUNER_ARTIFACTS": store.url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_on_a_cluster_with_its_files_in_s3(store: Store, tmp_path: Path) -> None:
    began = ("search", "-m", "kmeans,gmm", "-d", "digits", "-n", "4", "--name", "far", "--json")
    first = run(tmp_path, store, *began, "--replicas", "2", "--workers", "2")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["champion"]["promoted"]
    for words in (("doctor", "far"), ("sync", "far"), ("status", "far")):
        ended = run(tmp_path, store, *words)
        assert ended.returncode == 0, ended.stderr + ended.stdout
    more = run(tmp_path, store, "resume", "far", "-n", "6", "--json", "--workers", "2")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["trials"]["total"] == 6
    ended = run(tmp_path, store, "doctor", "far")
    assert ended.returncode == 0, ended.stdout
    evaluations = read_evaluations(artifacts_at(store.url) / "far" / "trial-00005")
    assert evaluations[-1].finished
    said = first.stdout + first.stderr + more.stdout + more.stderr + ended.stdout
    assert SECRET not in said
    for database in ("tuner.db", "mlflow.db"):
        with sqlite3.connect(tmp_path / database) as connection:
            assert not any(SECRET in line for line in connection.iterdump())


def test_a_training_writes_to_a_store(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_ARTIFACTS", store.url)
    blobs(tmp_path / "blobs.npz")
    words = ("train", "-m", "kmeans", "-d", "blobs.npz", "--set", "n_components=3", "--json")
    out = f"{store.url}/mine"
    assert app.run([*words, "--replicas", "2", "--out", out]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == f"{out}/best"
    folders = {name.split("/")[2] for name in store.names() if name.startswith("files/mine/")}
    assert folders == {"best", "metrics.jsonl", "pictures", "replica-0", "replica-1"}
    assert app.run(["predict", out, "blobs.npz", "--out", "p.csv"]) == 0
    assert app.run([*words, "--out", out]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
