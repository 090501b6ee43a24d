"""Searches on a handful of points end with a champion or a sentence, never with a fault."""

from pathlib import Path

import numpy as np
import pytest

from tests.tuner.in_process import no_ray
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.execution.cluster import Resources
from tuner.orchestration.locations import Locations
from tuner.orchestration.result import Result
from tuner.orchestration.search import search
from tuner.orchestration.session import Session
from tuner.study.study import Study

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def searched(folder: Path, n: int) -> Result:
    """Search two clear blobs of n points in all."""
    labels = np.arange(n) % 2
    x = 10 * labels[:, None] + np.random.default_rng(0).normal(size=(n, 3))
    np.savez(folder / "few.npz", x=x, y=labels)
    locations = Locations(
        storage=f"sqlite:///{folder / 'tuner.db'}",
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "artifacts",
    )
    study = Study(
        methods=("kmeans",),
        dataset=str(folder / "few.npz"),
        trials=2,
        replicas=1,
        finalists=1,
        finalist_seeds=1,
        fixed={"n_components": 2},
    )
    with no_ray():
        return search(study, Session(locations=locations, resources=Resources()))


@pytest.mark.parametrize("n", [12, 16, 40])
def test_few_points_have_a_champion(n: int, tmp_path: Path) -> None:
    result = searched(tmp_path, n)
    assert result.champion.promoted
    assert result.best["score"] > 0.3
    assert result.audit is not None
    assert result.audit["hungarian"] == 1.0
    assert len(result.champion.interval) == (0 if n < 24 else 2)


def test_too_few_test_points_keep_the_champion(tmp_path: Path) -> None:
    searched(tmp_path, 40)
    again = searched(tmp_path, 40)
    assert again.champion.version == 2
    assert not again.champion.promoted
    assert "too few to compare two models" in again.notes[0]
