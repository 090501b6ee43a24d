"""Data without clusters: a verdict, exit code 1, and nothing registered unless asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tuner.in_process import no_ray
from tests.tuner.mlflow_store import OLD_LOADER
from tuner.errors import UnclusteredError
from tuner.execution.cluster import Resources
from tuner.ledger.ledger import Ledger
from tuner.orchestration.doctor import examine
from tuner.orchestration.locations import Locations
from tuner.orchestration.result import Result
from tuner.orchestration.search import resume, search
from tuner.orchestration.session import Session
from tuner.orchestration.sync import sync
from tuner.registry import Registry
from tuner.study.study import Study

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Locations, UnclusteredError]:
    """Search one Gaussian, which has no clusters."""
    folder = tmp_path_factory.mktemp("gaussian")
    np.savez(folder / "gaussian.npz", x=np.random.default_rng(0).normal(size=(250, 4)))
    locations = Locations(
        storage=f"sqlite:///{folder / 'tuner.db'}",
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifacts=folder / "artifacts",
    )
    study = Study(
        methods=("kmeans",),
        dataset=str(folder / "gaussian.npz"),
        trials=4,
        replicas=1,
        finalists=1,
        finalist_seeds=2,
        name="s",
    )
    with no_ray(), pytest.raises(UnclusteredError) as caught:
        search(study, Session(locations=locations, resources=Resources()))
    return locations, caught.value


def registered(locations: Locations) -> int:
    return len(Registry(locations.tracking_uri).versions("gaussian"))


def test_nothing_is_registered(searched: tuple[Locations, UnclusteredError]) -> None:
    locations, error = searched
    assert error.exit_code == 1
    assert "no clusters" in str(error)
    assert "--allow-unclustered" in str(error)
    assert isinstance(error.result, Result)
    assert error.result.champion is None
    structure = json.loads(json.dumps(error.result.to_mapping()))["structure"]
    assert structure["clustered"] is False
    assert structure["p_value"] > 0.05
    assert structure["draws"] == 19
    assert error.result.components is not None
    assert Ledger.load(locations.storage, "s").attribute("result")["champion"] is None


def test_the_search_is_sound_and_says_the_same_again(
    searched: tuple[Locations, UnclusteredError],
) -> None:
    locations, error = searched
    assert [finding for finding in examine("s", locations) if not finding.ok] == []
    sync("s", locations)
    with pytest.raises(UnclusteredError) as again:
        resume("s", Session(locations=locations, resources=Resources()))
    assert str(again.value) == str(error)
    assert isinstance(error.result, Result)
    assert isinstance(again.value.result, Result)
    assert again.value.result.to_mapping() == error.result.to_mapping()


def test_it_is_registered_when_asked_for(searched: tuple[Locations, UnclusteredError]) -> None:
    locations, _ = searched
    session = Session(locations=locations, resources=Resources(), allow_unclustered=True)
    with no_ray():
        result = resume("s", session)
    assert result.champion is not None
    assert result.champion.promoted
    assert result.structure is not None
    assert result.structure["clustered"] is False
    assert registered(locations) == 1
    assert [finding for finding in examine("s", locations) if not finding.ok] == []
    again = resume("s", Session(locations=locations, resources=Resources()))
    assert again.to_mapping() == result.to_mapping(), "the result is kept"


def test_a_folder_of_mlflow_has_the_picture_of_k(
    searched: tuple[Locations, UnclusteredError],
) -> None:
    locations, _ = searched
    assert (Path(locations.artifacts) / "s/finalist-0/pictures/score_by_k.png").is_file()
