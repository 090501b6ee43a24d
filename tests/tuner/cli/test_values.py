from pathlib import Path

import pytest

from tuner.cli import values
from tuner.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("1.0e-4", 1e-4),
        ("true", True),
        ("False", False),
        ("gaussian", "gaussian"),
        ("'10'", "10"),
        ('"true"', "true"),
        ("", ""),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_a_value_is_read_as_yaml_except_for_exponents(text, value):
    read = values.scalar(text)
    assert read == value
    assert type(read) is type(value)


def test_settings_may_contain_equals_signs_and_spaces():
    assert values.fixed(["a=b=c", " n_components = 10 "]) == {"a": "b=c", "n_components": 10}
    assert values.fixed(None) == {}


@pytest.mark.parametrize("pair", ["n_components", "=3", "  =3"])
def test_a_setting_without_a_name_or_a_value_is_refused(pair):
    with pytest.raises(UsageError, match=r"write KEY=VALUE"):
        values.fixed([pair])


def test_a_setting_given_twice_is_refused():
    with pytest.raises(UsageError, match="n_components is given twice"):
        values.fixed(["n_components=10", "n_components=12"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("1D", 86400)],
)
def test_durations(text, seconds):
    assert values.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2 h", "h", "0", "0s", "-1h", "1w", "1h30", "nan", "9" * 40])
def test_an_invalid_duration_is_refused(text):
    with pytest.raises(UsageError, match="90s, 30m, 2h or 1h30m"):
        values.seconds(text)


def test_no_budget_is_none():
    assert values.seconds(None) is None


def test_spaces_between_methods_are_ignored():
    assert values.methods("gmvae, kmeans,") == ("gmvae", "kmeans")
    assert values.methods(" , ") == ()


def test_given_locations_override_variables_and_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_STORAGE", "sqlite:///variable.db")
    locations = values.locations(None, "http://mlflow:5000", "files")
    assert locations.storage == "sqlite:///variable.db"
    assert locations.tracking_uri == "http://mlflow:5000"
    assert locations.artifacts == tmp_path / "files"


@pytest.mark.parametrize("text", ["", "ftp://bucket/folder", "a\0b"])
def test_artifacts_that_are_not_a_folder_are_refused(text):
    with pytest.raises(UsageError, match="is not a folder"):
        values.locations(None, None, text)


def test_a_place_in_a_store_is_taken_as_it_is():
    found = values.locations(None, None, "s3://bucket/folder/")
    assert str(found.artifacts) == "s3://bucket/folder"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_resources_must_be_finite(number):
    with pytest.raises(UsageError, match="cpus-per-trial"):
        values.resources(None, None, number, None, None)
    with pytest.raises(UsageError, match="gpus-per-trial"):
        values.resources(None, None, 1.0, number, None)


def _space(folder: Path, name: str = "my.yaml") -> Path:
    path = folder / name
    path.write_text("space:\n  starts: {int: [1, 3]}\n")
    return path


def test_a_space_applies_to_the_only_or_the_named_method(tmp_path):
    path = _space(tmp_path)
    document = values.spaces([str(path)], ["kmeans"])
    assert document["kmeans"]["space"] == {"starts": {"int": [1, 3]}}
    assert values.spaces([f"kmeans={path}"], ["kmeans", "gmm"]) == document
    assert values.spaces([f"kmeans={path}"], ["all"]) == document
    assert values.spaces(None, ["kmeans"]) == {}


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _space(tmp_path, "a=b.yaml")
    assert "kmeans" in values.spaces(["a=b.yaml"], ["kmeans"])


@pytest.mark.parametrize(
    ("given", "names", "expected"),
    [
        (["{path}"], ["kmeans", "gmm"], "name its method, as in kmeans="),
        (["kmens={path}"], ["kmeans", "gmm"], "did you mean 'kmeans'"),
        (["gmvae={path}"], ["kmeans"], "is not a method of this search"),
        (["{path}", "kmeans={path}"], ["kmeans"], "two files"),
        (["missing.yaml"], ["kmeans"], "cannot be read"),
    ],
)
def test_a_space_without_a_matching_method_or_file_is_refused(tmp_path, given, names, expected):
    path = _space(tmp_path)
    with pytest.raises(UsageError, match=expected):
        values.spaces([text.format(path=path) for text in given], names)
