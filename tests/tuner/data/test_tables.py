from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.tuner.data.refusals import refusal
from tuner.data import load


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = np.array(["setosa", "virginica"])[np.arange(60) % 2]
    return pd.DataFrame({"length": rng.normal(5, 1, 60), "count": np.arange(60), "kind": kinds})


def written(tmp_path, text: str | bytes):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_with_a_column_of_labels(tmp_path, frame, ending):
    path = tmp_path / f"iris.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    data = load(str(path), labels="kind")
    both = np.concatenate(
        [data.preprocessor.invert(data.train), data.preprocessor.invert(data.test)]
    )
    codes = np.concatenate([data.train_labels, data.test_labels])
    assert data.name == "iris"
    assert data.label_names == ("setosa", "virginica")
    assert np.allclose(np.sort(both[:, 0]), np.sort(frame["length"]), rtol=1e-5)
    assert np.array_equal(codes, both[:, 1].round() % 2)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(tmp_path, separator):
    rows = [separator.join(map(str, (i, i * i, i % 2))) for i in range(20)]
    path = written(tmp_path, "\n".join([separator.join("abc"), *rows]))
    assert load(str(path), labels="c").train.shape == (16, 2)


def test_decimal_commas_are_read_where_others_separate(tmp_path):
    rows = "".join(f"{i};{i % 7},5\n" for i in range(20))
    data = load(str(written(tmp_path, "a;b\n" + rows)))
    raw = np.concatenate([data.preprocessor.invert(part)["b"] for part in (data.train, data.test)])
    assert set(raw.round(3)) == {i + 0.5 for i in range(7)}
    assert data.notes == ("numbers are read with a decimal comma",)


def test_a_first_column_without_a_name_is_told(tmp_path):
    rows = "".join(f"{i % 7},{i % 5}\n" for i in range(20))
    data = load(str(written(tmp_path, f",a\n{rows}")))
    assert data.notes == ("the first column has no name and is called 'Unnamed: 0'",)


def test_a_table_without_a_header_keeps_its_first_row(tmp_path):
    path = written(tmp_path, "\n".join(f"{i},{i % 7}.5" for i in range(20)))
    data = load(str(path))
    assert len(data.train) + len(data.test) == 20
    assert load(str(path), labels="1").label_names == tuple(f"{i}.5" for i in range(7))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = written(tmp_path, "\ufeffkind,a\n1,2\n0,5\n1,3\n0,4\n".encode())
    assert load(str(path), labels="kind").shape == (1,)


def test_booleans_and_numbers_mix(tmp_path):
    path = written(tmp_path, "a,b\n" + "True,2\nFalse,5\n" * 5)
    data = load(str(path))
    assert np.isfinite(data.train).all()
    assert data.shape == (2,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n6,7\n", "Expected 2 fields in line 3, saw 3"),
        ("a,b\n1,2,3\n3,4,5\n", "differ in length"),
        ("a,b\n1,2\n3\n6,7\n", "column 'b' has no value in 1 of 3 rows, first in row 1"),
        ('a,b\n1,"2\n3,4\n', "quotes"),
        (
            "a,b\n1,2\n3,x\n5,6\n",
            "column 'b' holds 'x' in row 1 among numbers: use --missing-value=x --missing mean",
        ),
        ("a,b\n1,2\n3,nan\n5,6\n", "column 'b' has no value in 1 of 3 rows, first in row 1"),
        ("a,b\n1,2\n3,inf\n5,6\n", "column 'b' holds inf in row 1, which cannot be used"),
        ("a,b\n1,2\n3,1e38\n5,6\n", "column 'b' holds 1e+38 in row 1"),
        ('a,b\n"1,5",2\n"2,5",3\n', "decimal point"),
        ("a,a,b\n1,2,3\n3,4,6\n", "several columns 'a'"),
        ("a,b\n", "no points"),
        ("a,b\n1,2\n", "a single point"),
        ("\n\n", "does not contain a table"),
        ("a,b\n1,2\n1,2\n", "nothing to cluster"),
    ],
)
def test_malformed_text_is_refused(tmp_path, text, message):
    path = written(tmp_path, text)
    assert message.format(path) in refusal(path)


@pytest.mark.parametrize("at", [1, 100_000])
def test_latin_1_is_refused(tmp_path, at):
    text = "a,name\n" + "1,o\n" * at + "2,\xf6\n"
    assert "save it as UTF-8" in refusal(written(tmp_path, text.encode("latin-1")))


def test_mixed_types_are_refused_deep_in_a_table(tmp_path):
    text = "a,b\n" + "1,2\n" * 300_000 + "1,x\n"
    assert "holds 'x' in row 300000" in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("kinds", "did you mean 'kind'?; it has length, count, kind"),
        ("", "no column ''"),
    ],
)
def test_a_wrong_column_of_labels_is_refused(tmp_path, frame, labels, message):
    path = tmp_path / "iris.csv"
    frame.to_csv(path, index=False)
    assert message.format(path) in refusal(path, labels=labels)


def test_labels_that_are_missing_or_alike_are_refused(tmp_path, frame):
    path = tmp_path / "iris.csv"
    frame.assign(kind="one").to_csv(path, index=False)
    assert "single class, 'one'" in refusal(path, labels="kind")
    frame.loc[7, "kind"] = None
    frame.to_csv(path, index=False)
    assert "no label in row 7" in refusal(path, labels="kind")
    frame[["kind"]].to_csv(path, index=False)
    assert "no columns to cluster" in refusal(path, labels="kind")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["1", "x", "3"]), "'x' in row 1"),
        (pa.array([1, None, 3]), "column 'a' has no value in 1 of 3 rows"),
        (pa.array([True, None, False]), "column 'a' has no value in 1 of 3 rows"),
        (pa.array([1, 2, 3], pa.timestamp("s")), "column 'a' holds dates"),
        (pa.array([1, 2, 3], pa.date32()), "column 'a' holds dates"),
        (pa.array([b"1", b"2", b"3"]), "column 'a' holds values of type"),
        (pa.array(["1", "x", "3"]).dictionary_encode(), "holds 3 different texts"),
    ],
)
def test_parquet_columns_that_are_no_numbers_are_refused(tmp_path, column, message):
    parquet.write_table(pa.table({"z": [1.0, 2.0, 3.0], "a": column}), tmp_path / "t.parquet")
    assert message in refusal(tmp_path / "t.parquet")


def test_parquet_labels_may_be_encoded(tmp_path):
    labels = pa.array(["u", "v"] * 10).dictionary_encode()
    table = pa.table({"a": np.arange(20), "kind": labels})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert load(str(tmp_path / "t.parquet"), labels="kind").label_names == ("u", "v")


def test_decimal_numbers_are_numbers(tmp_path):
    table = pa.table({"a": [Decimal("1.5"), Decimal("2"), Decimal("3")]})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"))
    both = np.concatenate([data.preprocessor.invert(part) for part in (data.train, data.test)])
    assert sorted(both.ravel()) == [1.5, 2, 3]


def test_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([pa.array([1.0, 2]), pa.array([1.0, 2])], names=["a", "a"])
    parquet.write_table(table, tmp_path / "t.parquet")
    assert "several columns 'a'" in refusal(tmp_path / "t.parquet")


@pytest.mark.parametrize("size", [3, 100, -20])
def test_a_cut_parquet_is_refused(tmp_path, frame, size):
    path = tmp_path / "cut.parquet"
    frame.to_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_more_than_memory_is_refused(tmp_path, monkeypatch, frame, ending):
    path = tmp_path / f"big.{ending}"
    frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 500}))
    assert "GiB of memory" in refusal(path)
