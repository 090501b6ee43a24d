import shlex

import numpy as np
import pandas as pd
import pytest

from tests.tuner.data.refusals import refusal
from tuner.cli.app import run
from tuner.data import Preparation, load
from tuner.data.preparation import join_names, split_names
from tuner.errors import DataError, UsageError


@pytest.fixture
def frame():
    """Return a table with every kind of column."""
    rng = np.random.default_rng(0)
    n = 90
    return pd.DataFrame(
        {
            "length": rng.normal(50, 9, n),
            "count": rng.integers(0, 40, n),
            "island": np.array(["Biscoe", "Dream", "Torgersen"])[np.arange(n) % 3],
            "size": np.array(["small", "medium", "large"])[rng.integers(0, 3, n)],
            "wild": rng.random(n) < 0.5,
        }
    )


def prepared(frame, **given):
    return load(frame, preparation=Preparation(**given))


def features(data):
    return data.preprocessor.encoder.features


def test_categories_become_one_feature_per_value(frame):
    data = prepared(frame)
    assert features(data) == (
        "length",
        "count",
        "island=Biscoe",
        "island=Dream",
        "island=Torgersen",
        "size=large",
        "size=medium",
        "size=small",
        "wild",
    )
    numbers = data.preprocessor.encode(frame)
    assert np.array_equal(numbers[:3, 2:5], np.eye(3))
    assert np.array_equal(numbers[:, 8], frame["wild"])


def test_ordered_categories_become_their_place(frame):
    order = ("small", "medium", "large")
    data = prepared(frame, ordinal={"size": order})
    place = data.preprocessor.encode(frame)[:, features(data).index("size")]
    assert [order[int(i)] for i in place] == frame["size"].to_list()
    frame["size"] = pd.Categorical(frame["size"], order, ordered=True)
    assert np.array_equal(prepared(frame).train, data.train)


def test_an_order_that_lacks_a_category_is_refused(frame):
    with pytest.raises(DataError, match=r"holds 'large', which --ordinal size=small,medium lacks"):
        prepared(frame, ordinal={"size": ("small", "medium")})


@pytest.mark.parametrize(
    "given", [{"columns": ("length", "count")}, {"drop": ("island", "size", "wild")}]
)
def test_columns_are_chosen_or_left_out(frame, given):
    data = prepared(frame, **given)
    assert features(data) == ("length", "count")
    assert np.array_equal(data.train, prepared(frame[["length", "count"]]).train)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"drop": ("lenth",)},
            r"--drop lenth: the data has no such column; did you mean 'length'\?",
        ),
        ({"columns": ("weight",)}, "--columns weight: the data has no such column"),
        ({"ordinal": {"age": ("a", "b")}}, "--ordinal age: the data has no such column"),
        (
            {"ordinal": {"size": ("a", "b")}, "drop": ("size",)},
            "--ordinal size: the column is left",
        ),
        ({"drop": ("length", "count", "island", "size", "wild")}, "no columns to cluster"),
    ],
)
def test_unknown_columns_are_refused(frame, given, message):
    with pytest.raises(DataError, match=message):
        prepared(frame, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"missing": "maen"}, r"--missing 'maen' is not usable; did you mean 'mean'\?"),
        ({"scale": "minmax"}, "--scale 'minmax' is not usable; choose one of auto, standard"),
        ({"columns": ("a",), "drop": ("a",)}, "column 'a' is in --columns and in --drop"),
        ({"ordinal": {"a": ("x",)}}, "--ordinal a=x: give at least 2 different categories"),
        ({"ordinal": {"a": ("x", "x")}}, "--ordinal a=x,x: give at least 2 different"),
        ({"drop": "a"}, r"drop='a' is one text: give a sequence, \('a',\)"),
        ({"drop": 3}, r"drop=3 is no sequence: give \(3,\)"),
        ({"scale": None}, "--scale None is not usable"),
        ({"missing_values": (None,)}, "missing_values with None: give numbers and texts only"),
        ({"ordinal": {"a": None}}, "--ordinal a=: give at least 2"),
    ],
)
def test_preparations_that_make_no_sense_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        Preparation(**given)


def test_a_preparation_survives_storage():
    given = Preparation(
        drop=("a",), ordinal={"b": ("x", "y")}, missing="mean", missing_values=(-999,), strict=True
    )
    assert Preparation.from_mapping(given.to_mapping()) == given
    assert Preparation().to_mapping() == {}


def test_missing_numbers_become_the_mean_of_the_training_part(frame):
    gaps = frame.copy()
    gaps.loc[::7, "length"] = np.nan
    data = prepared(gaps, missing="mean")
    column = data.preprocessor.encoder.columns[0]
    numbers = data.preprocessor.encode(gaps)[:, 0]
    assert np.allclose(numbers[::7], column.fill)
    whole = data.preprocessor.scaling.invert(data.train)[:, 0]
    present = whole[~np.isclose(whole, column.fill)]
    assert column.fill == pytest.approx(present.mean(), rel=1e-5)
    assert np.isfinite(data.train).all()


def test_missing_categories_become_the_most_frequent(frame):
    frame.loc[frame.index[:40], "size"] = "small"
    gaps = frame.copy()
    gaps.loc[[1, 5], "size"] = None
    data = prepared(gaps, missing="mean")
    small = features(data).index("size=small")
    assert data.preprocessor.encode(gaps)[[1, 5], small].tolist() == [1, 1]


def test_an_indicator_says_where_a_value_was_missing(frame):
    gaps = frame.copy()
    gaps.loc[::9, "length"] = np.nan
    gaps.loc[3, "island"] = None
    data = prepared(gaps, missing="indicator")
    assert features(data)[-2:] == ("length missing", "island missing")
    numbers = data.preprocessor.encode(gaps)
    assert np.array_equal(numbers[:, -2], gaps["length"].isna())
    assert np.array_equal(numbers[:, -1], gaps["island"].isna())
    back = data.preprocessor.invert(data.preprocessor.apply(gaps))
    assert np.array_equal(back["length"].isna(), gaps["length"].isna())
    assert back["island"].isna().to_list() == gaps["island"].isna().to_list()


def test_rows_with_missing_values_are_left_out_with_their_labels(frame):
    gaps = frame.assign(kind=np.where(frame["length"] > 50, "long", "short"))
    gaps.loc[::9, "length"] = np.nan
    data = load(gaps, labels="kind", preparation=Preparation(missing="drop"))
    assert len(data.train) + len(data.test) == 80
    assert data.notes == ("10 of 90 rows lack values and are left out",)
    lengths = data.preprocessor.invert(data.train)["length"]
    assert np.array_equal(data.train_labels, np.where(lengths > 50, 0, 1))
    whole = load(gaps.dropna(), labels="kind")
    assert np.array_equal(whole.train, data.train)


def test_values_that_mean_missing_are_missing(frame):
    gaps, marked = frame.copy(), frame.copy()
    gaps.loc[::8, "length"], marked.loc[::8, "length"] = np.nan, -999
    gaps.loc[::6, "island"], marked.loc[::6, "island"] = None, "?"
    expected = prepared(gaps, missing="indicator")
    for marks in ((-999, "?"), ("-999", "?")):
        data = prepared(marked, missing="indicator", missing_values=marks)
        assert np.array_equal(data.train, expected.train)
        assert np.array_equal(data.preprocessor.apply(marked), expected.preprocessor.apply(gaps))


def test_one_message_names_all_problems_and_a_command_that_works(tmp_path, frame):
    frame["name"] = [f"bird {i}" for i in range(90)]
    frame["seen"] = pd.date_range("2007-01-01", periods=90).astype(str)
    frame["note"] = "nothing, nothing"
    frame.loc[[4, 9], "length"] = np.nan
    frame.loc[7, "island"] = None
    path = tmp_path / "birds.csv"
    frame.to_csv(path, index=False)
    sentence = refusal(path)
    for part in (
        "column 'name' holds 90 different texts, such as 'bird 0'",
        "column 'seen' holds dates such as '2007-01-01'",
        "2 columns have rows without a value: 'length' 2, 'island' 1",
        "use --drop name,seen --missing mean (or drop, or indicator)",
    ):
        assert part in sentence
    command = shlex.split(sentence.split("`")[1])
    assert command[:3] == ["tuner", "data", str(path)]
    data = load(str(path), preparation=Preparation(drop=command[4].split(","), missing=command[6]))
    assert data.shape == (9,)
    assert data.notes == ("column 'note' has a single value and is left out",)


def test_marks_among_numbers_are_proposed_as_missing(frame):
    frame["length"] = frame["length"].round(2).astype(str)
    frame.loc[[3, 8], "length"] = ["?", "n/a."]
    with pytest.raises(DataError) as caught:
        load(frame)
    assert "use '--missing-value=?' --missing-value=n/a. --missing mean" in str(caught.value)
    data = prepared(frame, missing_values=("?", "n/a."), missing="mean")
    assert features(data)[0] == "length"


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ({"missing": "drop"}, None),
        ({"missing": "mean", "missing_values": (-999,)}, None),
        ({"columns": ("length", "name", "count")}, None),
        ({"ordinal": {"size": ("small", "medium", "large")}, "scale": "robust"}, "island"),
        ({"columns": ("length", "name", "count", "island")}, "island"),
    ],
)
def test_the_command_keeps_what_was_given(tmp_path, frame, given, labels):
    frame["name"] = [f"bird {i}" for i in range(90)]
    frame.loc[[4, 9], "length"] = np.nan
    frame.loc[7, "count"] = -999
    path = tmp_path / "birds.csv"
    frame.astype({"count": object}).replace({"count": {3: "?"}}).to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        load(str(path), labels=labels, preparation=Preparation(**given))
    command = shlex.split(str(caught.value).split("`")[1])[1:]
    command += ["--out", str(tmp_path / "p.png"), "--json"]
    assert run(command) == 0
    assert ("--labels" in command) == (labels is not None)
    assert ("--missing-value=-999" in command) == ("missing_values" in given)


def test_the_flags_in_short_replace_those_that_were_given(frame):
    frame["name"] = [f"bird {i}" for i in range(90)]
    frame["date"] = pd.date_range("2020", periods=90)
    with pytest.raises(DataError, match=r"use --drop name,date$"):
        prepared(frame, drop=("name",))
    with pytest.raises(DataError, match=r"use --columns length$"):
        prepared(frame, columns=("length", "date"))


def test_labels_may_be_among_the_chosen_or_dropped_columns(frame):
    for given in (
        {"columns": ("length", "count", "island")},
        {"drop": ("size", "wild", "island")},
    ):
        data = load(frame, labels="island", preparation=Preparation(**given))
        assert features(data) == ("length", "count")


@pytest.mark.parametrize("name", [" y", 'say "x"', "a,b", "a\nb", "naïve", "1"])
def test_columns_of_any_name_can_be_named(frame, name):
    frame = frame[["length", "count"]].assign(**{name: frame["length"] ** 2})
    (parsed,) = split_names(join_names([name]))
    assert features(prepared(frame, drop=(parsed,))) == ("length", "count")


def test_integer_names_are_names():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)))
    assert features(prepared(frame, drop=[0])) == ("1", "2")


def test_gaps_of_a_column_that_is_left_out_drop_no_rows(frame):
    frame["note"] = None
    frame.loc[:2, "note"] = "late"
    data = prepared(frame, missing="drop")
    assert len(data.train) + len(data.test) == 90


def test_false_is_not_the_number_that_means_missing(frame):
    data = prepared(frame, missing="mean", missing_values=(0,))
    wild = data.preprocessor.encode(frame)[:, features(data).index("wild")]
    assert np.array_equal(wild, frame["wild"])


def test_a_published_test_part_loses_its_gaps_too(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[5, 1] = x[45, 2] = np.nan
    np.savez(tmp_path / "d.npz", x=x[:40], x_test=x[40:], y_test=np.arange(20))
    data = load(str(tmp_path / "d.npz"), preparation=Preparation(missing="drop"))
    assert (len(data.train), len(data.test)) == (39, 19)
    assert data.label_names[data.test_labels[5]] == "6"
    ordered = np.column_stack([x[:, 0], np.arange(60) % 2])
    np.savez(tmp_path / "o.npz", x=ordered[:40], x_test=ordered[40:])
    data = load(str(tmp_path / "o.npz"), preparation=Preparation(ordinal={"1": ("0", "1")}))
    assert np.allclose(data.preprocessor.scaling.invert(data.test)[:, 1], np.arange(20) % 2)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1, 2], [3]] * 45, "has a vector of 1 numbers in row 1, but one of 2 in row 0"),
        ([["x"], ["y"]] * 45, "holds lists that are no vectors of numbers"),
        ([{1}, {2}] * 45, "holds values of type set"),
        ([{"x": 1}, {"x": 2}] * 45, "holds values of type dict"),
        ([1j, 2j] * 45, "holds values of type complex"),
        (pd.to_timedelta(np.arange(90), "D"), "holds dates or times"),
        (pd.date_range("2020", periods=90, tz="UTC"), "holds dates or times"),
        (
            ["1,5", "2,5", "3,5"] * 30,
            "holds '1,5', with a decimal comma: write numbers with a decimal point",
        ),
        (["1,234", "2,345"] * 45, "holds '1,234', with separators: write numbers without"),
        (["1", "x", "2"] * 30, "holds 'x' in row 1 among numbers"),
    ],
)
def test_cells_of_other_kinds_are_refused_and_can_be_dropped(frame, column, message):
    frame["odd"] = pd.Series(column)
    with pytest.raises(DataError) as caught:
        load(frame)
    assert f"column 'odd' {message}" in str(caught.value)
    assert prepared(frame, drop=("odd",)).shape == (9,)


@pytest.mark.parametrize("texts", [["True", "False"], ["true", "false"], ["FALSE", "True"]])
def test_texts_of_truth_are_booleans(frame, texts):
    frame["told"] = np.array(texts * 45, object)
    data = load(frame)
    assert data.preprocessor.encoder.columns[-1].kind == "boolean"
    told = data.preprocessor.encode(frame)[:, -1]
    assert np.array_equal(told, frame["told"].str.lower() == "true")


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.astype({"count": "Int8", "wild": "boolean"}),
        lambda frame: frame.astype(object),
        lambda frame: frame.astype({"island": "category"}),
        lambda frame: {name: frame[name].to_list() for name in frame},
        lambda frame: frame.to_dict("records"),
    ],
)
def test_any_container_of_the_same_table_is_the_same(frame, convert):
    expected = load(frame)
    data = load(convert(frame))
    assert np.array_equal(data.train, expected.train)
    assert data.fingerprint == expected.fingerprint


def test_columns_of_two_names_are_refused(frame):
    frame.columns = ["a", "b", "a", "c", "d"]
    with pytest.raises(DataError, match="several columns 'a'"):
        load(frame)


def test_images_have_no_columns():
    images = np.random.default_rng(0).random((30, 8, 8))
    for given in ({"drop": ("a",)}, {"missing": "mean"}, {"missing_values": (-1,)}):
        with pytest.raises(UsageError, match="holds images, which have no columns"):
            prepared(images, **given)
    with pytest.raises(UsageError, match="--scale log1p is for tables of counts"):
        prepared(images, scale="log1p")


@pytest.mark.parametrize("scale", ["standard", "robust", "range", "unit", "none"])
def test_every_scale_inverts_a_mixed_table(frame, scale):
    data = prepared(frame, scale=scale)
    back = data.preprocessor.invert(data.preprocessor.apply(frame))
    pd.testing.assert_frame_equal(
        back, frame, check_dtype=False, rtol=1e-4, atol=1e-4, check_index_type=False
    )


def test_the_scale_is_part_of_what_identifies_the_data(frame):
    plain = frame[["length", "count"]]
    prints = {
        prepared(plain, scale=scale).fingerprint
        for scale in ("auto", "standard", "robust", "log1p", "range", "unit", "none")
        if scale != "log1p"
    }
    assert len(prints) == 5
    assert prepared(plain).fingerprint == prepared(plain, scale="standard").fingerprint
    assert prepared(frame).fingerprint != prepared(frame, missing="drop").fingerprint
