"""Predictions and samples of models of tables, from the command line."""

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from tests.tuner.data.test_formats import write_h5ad
from tests.tuner.fitted import fitted_table_model


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 80)
    x = 10 * group[:, None] + rng.normal(size=(80, 3))
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(kind=np.array(["u", "v"])[group])


def predicted(tuner, file, *flags):
    ran = tuner("predict", "m", file, "--out", "p.csv", *flags)
    assert ran.code == 0, ran.err
    return pd.read_csv("p.csv")["cluster"].to_numpy(), ran.err


def test_a_file_of_any_format_and_order_is_answered(tuner, here, frame):
    model = fitted_table_model(frame)
    model.save(here / "m")
    expected = model.predict(frame)
    turned = frame[frame.columns[::-1]].assign(note="new")
    turned.to_csv("t.csv", index=False)
    turned.to_parquet("t.parquet")
    for file in ("t.csv", "t.parquet"):
        answers, err = predicted(tuner, file)
        assert np.array_equal(answers, expected)
        assert "warning: ignored 1 column that the model does not use: 'note'" in err


def test_the_layer_of_the_training_is_the_default(tuner, here, frame):
    x = frame[["a", "b", "c"]].to_numpy()
    names = ["g1", "g2", "g3"]
    write_h5ad("t.h5ad", np.zeros_like(x), names, sparse=False, layers={"raw": x})
    model = fitted_table_model("t.h5ad", layer="raw")
    model.save(here / "m")
    answers, _ = predicted(tuner, "t.h5ad")
    assert np.array_equal(answers, model.predict(x))
    assert pd.read_csv("p.csv")["observation"].tolist() == [f"cell {i}" for i in range(80)]
    write_h5ad("other.h5ad", x, names)
    ran = tuner("predict", "m", "other.h5ad")
    assert ran.code == 3
    assert "--layer raw: other.h5ad has no such layer" in ran.error_message


def test_a_first_row_of_numbers_is_told_and_may_be_set(tuner, here, frame):
    x = frame[["a", "b", "c"]].to_numpy().round(2)
    model = fitted_table_model(x)
    model.save(here / "m")
    pd.DataFrame(x).to_csv("t.csv", index=False)  # names 0, 1, 2
    answers, err = predicted(tuner, "t.csv")
    assert np.array_equal(answers, model.predict(x))
    assert "warning: the first row of the table, 0, 1, 2, counts the columns" in err
    pd.DataFrame(x).to_csv("d.csv", index=False, header=["a", "b", "c"], sep=";", decimal=",")
    answers, err = predicted(tuner, "d.csv")
    assert np.array_equal(answers, model.predict(x))
    assert "note: numbers are read with a decimal comma" in err
    assert len(predicted(tuner, "t.csv", "--no-header")[0]) == 81


def test_gaps_are_filled_in_files_of_every_format(tuner, here, frame):
    x = frame[["a", "b", "c"]].to_numpy(copy=True)
    x[3, 1] = np.nan
    model = fitted_table_model(x, missing="mean")
    model.save(here / "m")
    np.save("t.npy", x)
    np.savez("t.npz", x=x)
    for file in ("t.npy", "t.npz"):
        assert np.array_equal(predicted(tuner, file)[0], model.predict(x))


def test_samples_are_tables(tuner, here, frame):
    fitted_table_model(frame.rename(columns={"a": "cluster"})).save(here / "m")
    ran = tuner("sample", "m", "--out", "s.csv", "-n", "5")
    assert ran.code == 0, ran.err
    drawn = pd.read_csv("s.csv")
    assert list(drawn.columns) == ["sampled_cluster", "cluster", "b", "c", "kind"]
    assert drawn["sampled_cluster"].value_counts().to_dict() == {0: 5, 1: 5}
    assert set(drawn["kind"]) <= {"u", "v"}
    ran = tuner("sample", "m", "--out", "s.png", "-n", "5")
    assert ran.code == 0, ran.err


def test_vectors_need_a_file_that_holds_them(tuner, here, frame):
    frame["v"] = list(np.random.default_rng(1).normal(size=(80, 2)))
    fitted_table_model(frame).save(here / "m")
    ran = tuner("sample", "m", "--out", "s.csv")
    assert ran.code == 2
    assert "a .csv file cannot hold vectors: choose one that ends in .parquet" in ran.error_message
    assert tuner("sample", "m", "--out", "s.parquet", "-k", "1", "-n", "3").code == 0
    assert len(parquet.read_table("s.parquet")["v"][0]) == 2
