"""What earlier versions stored still loads: saved models, ledgers, metrics and checkpoints."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tuner
from tests.tuner.in_process import no_ray
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.data import Preparation, load
from tuner.execution.cluster import Resources
from tuner.ledger.ledger import Ledger
from tuner.ledger.records import TrialRecord
from tuner.orchestration.doctor import examine
from tuner.orchestration.locations import Locations
from tuner.orchestration.search import resume
from tuner.orchestration.session import Session
from tuner.orchestration.status import status_of
from tuner.training import checkpoint
from tuner.training.attempts import attempts
from tuner.training.evaluations import read_evaluations

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

STORED = Path(__file__).parents[1] / "stored"
MODELS = sorted(path.name for path in (STORED / "models").iterdir() if path.is_dir())


def points() -> tuple[np.ndarray, np.ndarray]:
    """Return the points that the stored models and the stored search were made on."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=120)
    return (6 * np.eye(3, 4)[y] + rng.normal(size=(120, 4))).astype(np.float32), y


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_answers_as_it_did(name: str) -> None:
    model = tuner.load(STORED / "models" / name)
    with np.load(STORED / "models" / "probabilities.npz") as expected:
        np.testing.assert_allclose(
            model.predict_proba(points()[0][:20]), expected[name], rtol=1e-3, atol=1e-5
        )
    assert model.method == name


def test_a_stored_model_of_a_table_answers_as_it_did() -> None:
    model = tuner.load(STORED / "table" / "model")
    rows = pd.read_csv(STORED / "table" / "rows.csv")
    expected = np.loadtxt(STORED / "table" / "probabilities.txt")
    np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=1e-3, atol=1e-5)
    assert set(model.sample(0, 3)["island"]) <= {"Biscoe", "Dream", "Torgersen"}


FINGERPRINTS = {
    "digits": "af4f052bbd881756",
    "arcs": "c27574f6406f49f1",
    "half_moons": "5e2adec68302577b",
    "table.csv": "9c8bb04a43e94233",
    "table.parquet": "9c8bb04a43e94233",
    "vectors.parquet": "9d341211e36fea24",
    "bare.csv": "af5775b36ff7b2e9",
    "counting.csv": "7f6d162540eb6e0f",
    "bytes.npy": "088bf17487b761f4",
    "images.npy": "d6a2d4be1990768c",
    "unit.npy": "49b3f482bf5acdfe",
}
"""How version 0.1.0 identified these data, before there was a choice of how to prepare them."""


@pytest.fixture
def files_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    i = np.arange(40)
    table = pd.DataFrame({"a": i**2 % 17, "b": i / 7, "c": i % 3 == 0})
    kinds = np.where(i % 2, "u", "v")
    table.assign(kind=kinds).to_csv("table.csv", index=False)
    table.assign(kind=kinds).to_parquet("table.parquet")
    vectors = [[float(k), k * k % 5, 1.5] for k in i]
    pd.DataFrame({"v": vectors, "a": i % 7}).to_parquet("vectors.parquet")
    table[["a", "b"]].to_csv("bare.csv", index=False, header=False)
    rows = [[0, 1, 2], *([k % 5, k % 3, k % 7] for k in i)]
    pd.DataFrame(rows).to_csv("counting.csv", index=False, header=False)
    whole = i[:, None] * [1, 2, 3] % 16
    np.save("bytes.npy", whole.astype(np.uint8))
    np.save("unit.npy", whole / 15)
    np.save("images.npy", np.tile(i[:, None, None], (1, 4, 6)).astype(np.int16))


@pytest.mark.usefixtures("files_of_before")
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_search_of_before_finds_its_data(name: str) -> None:
    labels = "kind" if name.startswith("table") else None
    data = load(name, labels=labels, preparation=Preparation(scale="inferred"))
    assert data.fingerprint.startswith(FINGERPRINTS[name])
    if "." not in name:  # new searches on built-in data are compared with champions of before
        assert load(name).fingerprint == data.fingerprint


@pytest.fixture
def locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Locations:
    """Lay the stored search and its data into a folder."""
    x, y = points()
    np.savez(tmp_path / "points.npz", x=x, y=y)
    shutil.copytree(STORED / "search" / "artifacts", tmp_path / "artifacts" / "stored")
    with sqlite3.connect(tmp_path / "tuner.db") as database:
        database.executescript((STORED / "search" / "tuner.sql").read_text())
    monkeypatch.chdir(tmp_path)
    return Locations(
        storage=f"sqlite:///{tmp_path / 'tuner.db'}",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifacts=tmp_path / "artifacts",
    )


def test_a_stored_search_shows_its_status(locations: Locations) -> None:
    status = status_of(Ledger.load(locations.storage, "stored"))
    assert (status.state, status.total) == ("stopped", 8)
    assert status.trials == {"total": 8, "complete": 5, "pruned": 0, "failed": 2, "running": 1}
    assert status.failures == {"worker_lost": 2}
    (running,) = status.running
    assert (running.number, running.method, running.epoch) == (7, "vae_gmm", 7)
    assert running.params["vae_epochs"] == 75


def test_a_stored_search_resumes_from_its_checkpoint(locations: Locations) -> None:
    before = Ledger.load(locations.storage, "stored").trials()
    folder = locations.artifacts / "stored" / "trial-00007"
    written = read_evaluations(folder)
    with no_ray():
        result = resume("stored", Session(locations=locations, resources=Resources()))
    after = Ledger.load(locations.storage, "stored").trials()
    assert [ended(trial) for trial in after[:7]] == [ended(trial) for trial in before[:7]]
    assert (len(after), after[7].state, after[7].attempt) == (8, "COMPLETE", 1)
    assert after[7].params == before[7].params
    resumed = read_evaluations(folder)
    assert resumed[: len(written)] == written, "training went on at its checkpoint"
    assert resumed[-1].epoch == 20
    assert result.counts == {"total": 8, "complete": 6, "pruned": 0, "failed": 2}
    assert [finding for finding in examine("stored", locations) if not finding.ok] == []


def test_stored_attempts_are_read_newest_first() -> None:
    folder = STORED / "attempts" / "trial-00007"
    newest, before = attempts(folder)
    assert (newest.name[:11], before.name[:11]) == ("attempt-001", "attempt-000")
    assert [e.epoch for e in read_evaluations(folder)] == list(range(1, 8))
    found, note = checkpoint.latest_valid(newest / "checkpoints")
    assert found is not None
    assert (found[1]["epoch"], note) == (7, "")


def ended(trial: TrialRecord) -> tuple[object, ...]:
    """Return what may not change of a trial that has ended."""
    return trial.number, trial.state, trial.params, trial.value, dict(trial.intermediate_values)
