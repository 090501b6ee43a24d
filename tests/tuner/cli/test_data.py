import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tuner.cli.app import run


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": np.arange(60),
            "length": rng.normal(50, 9, 60),
            "island": ["Biscoe", "Dream", "Torgersen"] * 20,
            "kind": ["u", "v"] * 30,
        }
    )
    frame.loc[3, "length"] = np.nan
    frame.to_csv("birds.csv", index=False)


def test_every_column_is_told_with_what_it_becomes(table, capsys):
    flags = ["--labels", "kind", "--missing", "indicator"]
    assert run(["data", "birds.csv", *flags]) == 0
    out = capsys.readouterr().out
    for part in ("whole number", "0 to 59", "1.7%", "3 features of 0 or 1", "2 classes"):
        assert part in out
    assert "looks like an identifier" in " ".join(out.split())
    with Image.open("birds-data.png") as picture:
        assert picture.size[0] > 300


def test_the_same_as_json(table, capsys):
    assert run(["data", "birds.csv", "--missing", "mean", "--drop", "row", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    length, island, kind = document["columns"]
    assert (length["taken_for"], island["taken_for"]) == ("number", "category")
    assert length["missing"] == pytest.approx(1 / 60)
    assert kind["name"] == "kind"
    assert document["train"] + document["test"] == 60
    assert document["shape"] == [6]
    assert len(document["warnings"]) == 0
    assert document["picture"] == "birds-data.png"


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 3, "column 'length' has no value in 1 of 60 rows"),
        (["--missing", "some"], 2, "--missing 'some' is not usable"),
        (["--missing", "drop", "--strict"], 3, "as --strict asks: column 'row' looks like"),
        (["--drop", "rwo"], 3, "did you mean 'row'?"),
        (["--ordinal", "island"], 2, "--ordinal 'island': write COLUMN=LOWEST"),
        (["--out", "x.jpg"], 2, "--out 'x.jpg' must end in .png"),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_written(
    table, capsys, tmp_path, flags, code, message
):
    assert run(["data", "birds.csv", *flags]) == code
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["birds.csv"]


def test_images_and_built_in_data_are_told_as_a_whole(table, capsys):
    assert run(["data", "digits", "--out", "digits.png"]) == 0
    out = capsys.readouterr().out
    assert "points of 8 × 8, divided by 16" in out
    assert "10 classes" in out


def test_a_plan_tells_the_same_in_short(table, capsys):
    command = ["search", "--dataset", "birds.csv", "--missing", "mean", "--dry-run"]
    assert run(command) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "columns: 2 numbers, 2 categories, each column standardised" in out
    assert "warning column 'row' looks like an identifier" in out


def test_flags_may_stand_in_the_file_of_defaults(table, capsys, tmp_path):
    (tmp_path / "tuner.toml").write_text(
        'drop = "row,kind"\nmissing = "mean"\nmissing_value = ["-1"]\nscale = "robust"\n'
    )
    assert run(["data", "birds.csv", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in document["columns"]] == ["length", "island"]
    assert "interquartile" in document["description"]
