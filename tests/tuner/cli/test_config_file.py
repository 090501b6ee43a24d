import pytest

from tuner.cli.config_file import read
from tuner.errors import UsageError

FLAGS = {
    "search": {"trials": False, "dry_run": True, "set": False, "space": False, "method": False},
    "train": {"set": False, "method": False},
    "space": {"json": True},
}


def test_without_a_file_there_are_no_defaults(tmp_path):
    assert read(tmp_path, FLAGS) == ({"search": {}, "train": {}, "space": {}}, "")


def test_a_top_level_key_applies_to_every_command_with_that_flag(tmp_path):
    (tmp_path / "tuner.toml").write_text('method = "gmm"\ntrials = 7\n')
    defaults, source = read(tmp_path, FLAGS)
    assert defaults == {
        "search": {"method": "gmm", "trials": "7"},
        "train": {"method": "gmm"},
        "space": {},
    }
    assert source == "tuner.toml"


def test_the_table_of_a_command_overrides_top_level_keys(tmp_path):
    (tmp_path / "tuner.toml").write_text('method = "gmm"\n[train]\nmethod = "kmeans"\n')
    defaults, _ = read(tmp_path, FLAGS)
    assert defaults["search"]["method"] == "gmm"
    assert defaults["train"]["method"] == "kmeans"


def test_values_are_returned_as_typed_on_the_command_line(tmp_path):
    (tmp_path / "tuner.toml").write_text(
        'method = ["gmm", "kmeans"]\n'
        "set = {n_components = 10, gmvae.batch_norm = true, x = 1e-3}\n"
        'space = "a.yaml"\ndry-run = true\n'
    )
    own = read(tmp_path, FLAGS)[0]["search"]
    assert own["method"] == "gmm,kmeans"
    assert own["set"] == ["n_components=10", "gmvae.batch_norm=true", "x=0.001"]
    assert own["space"] == ["a.yaml"]
    assert own["dry_run"] is True


def test_pyproject_is_read_without_tuner_toml(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n")
    assert read(tmp_path, FLAGS)[0]["search"] == {}
    project.write_text("tool = 3\n")
    assert read(tmp_path, FLAGS)[0]["search"] == {}
    project.write_text("[tool.tuner]\ntrials = 5\n[tool.other]\n")
    defaults, source = read(tmp_path, FLAGS)
    assert defaults["search"] == {"trials": "5"}
    assert source == "[tool.tuner] in pyproject.toml"
    (tmp_path / "tuner.toml").write_text("trials = 6\n")
    assert read(tmp_path, FLAGS)[0]["search"] == {"trials": "6"}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("tuner.toml", b"trails = 1", "did you mean 'trials'"),
        ("tuner.toml", b"[serch]\ntrials = 1", "did you mean 'search'"),
        (
            "tuner.toml",
            b"[train]\ntrials = 1",
            r"tuner.toml, \[train\]: no such option or command",
        ),
        ("tuner.toml", b"dry_run = 1", "write true or false"),
        ("tuner.toml", b"trials", "is not valid TOML"),
        ("tuner.toml", b"trials = 1\ntrials = 2", "is not valid TOML"),
        ("tuner.toml", b"method = '\xff'", "is not UTF-8"),
        ("pyproject.toml", b"[tool]\ntuner = 3", "write a table of options"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=expected):
        read(tmp_path, FLAGS)


def test_a_byte_order_mark_is_ignored(tmp_path):
    (tmp_path / "tuner.toml").write_bytes("﻿trials = 3".encode())
    assert read(tmp_path, FLAGS)[0]["search"] == {"trials": "3"}
