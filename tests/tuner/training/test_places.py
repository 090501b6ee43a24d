import pytest

from tuner.errors import DiskError
from tuner.training.places import probe, probe_file


def test_a_folder_that_is_missing_is_made_for_what_machines_look_at(tmp_path):
    folder = tmp_path / "new" / "artifacts"
    with probe_file(folder) as file:
        assert [str(path) for path in folder.iterdir()] == [file.name]
    assert list(folder.iterdir()) == []


def test_a_probe_leaves_nothing(tmp_path):
    probe(tmp_path / "new" / "artifacts")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", [probe, lambda folder: probe_file(folder).__enter__()])
def test_a_folder_that_cannot_be_made_is_a_full_sentence(use, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        DiskError, match=r"file/artifacts cannot be written to \(Not a directory\)"
    ):
        use(tmp_path / "file" / "artifacts")
