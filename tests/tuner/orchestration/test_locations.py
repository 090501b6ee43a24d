import pytest

from tuner.errors import DiskError, UsageError
from tuner.orchestration.locations import Locations


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("TUNER_STORAGE", "TUNER_ARTIFACTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def test_things_are_in_the_current_folder_unless_told_otherwise(tmp_path):
    locations = Locations()
    assert locations.storage == f"sqlite:///{tmp_path}/tuner.db"
    assert locations.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert locations.artifacts == tmp_path / "tuner-artifacts"
    assert not list(tmp_path.iterdir())


def test_variables_say_otherwise_and_empty_ones_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_STORAGE", "postgresql://host/db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setenv("TUNER_ARTIFACTS", "files")
    locations = Locations()
    assert (locations.storage, locations.tracking_uri) == (
        "postgresql://host/db",
        "http://host:5000",
    )
    assert locations.artifacts == tmp_path / "files"
    for name in ("TUNER_STORAGE", "TUNER_ARTIFACTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
    assert Locations().storage == f"sqlite:///{tmp_path}/tuner.db"
    assert Locations().artifacts == tmp_path / "tuner-artifacts"


def test_a_folder_that_can_be_made_and_written_is_left_as_found(tmp_path):
    Locations(artifacts=tmp_path / "a" / "b").check()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=r"file/below cannot be written .*--artifacts"):
        Locations(artifacts=tmp_path / "file" / "below").check()


@pytest.mark.parametrize("storage", ["tuner.db", "", "postgresql:host"])
def test_what_is_no_url_is_refused_and_nothing_is_written(tmp_path, storage):
    with pytest.raises(UsageError, match="is not a database URL"):
        Locations(storage=storage).check()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["storage", "tracking_uri"])
def test_a_file_database_serves_one_machine_alone(name):
    urls = {"storage": "postgresql://h/d", "tracking_uri": "http://h"}
    Locations(**urls).check_nodes(3)
    local = Locations(**urls | {name: "sqlite:///a.db"})
    local.check_nodes(1)
    variable = {"storage": "TUNER_STORAGE", "tracking_uri": "MLFLOW_TRACKING_URI"}[name]
    with pytest.raises(UsageError, match=rf"{variable} is sqlite.*2 machines"):
        local.check_nodes(2)
