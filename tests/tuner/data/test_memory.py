import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import Preparation, load
from tuner.data.formats import memory
from tuner.errors import DataError, DiskError


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"], index=rng.permutation(60))
    return frame.assign(kind=np.array(["u", "v"])[np.arange(60) % 2])


def test_a_data_frame_is_a_table(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv", index=False)
    data, read = load(frame, labels="kind"), load(str(tmp_path / "t.csv"), labels="kind")
    assert data.name == "data"
    assert data.fingerprint == read.fingerprint
    assert np.array_equal(data.train_labels, read.train_labels)


def test_an_array_brings_its_labels(frame):
    x, y = frame[["a", "b"]].to_numpy(), frame["kind"].to_numpy()
    data = load(x, labels=y)
    assert data.label_names == ("u", "v")
    assert np.array_equal(data.train, load(frame, labels="kind").train)
    assert load(x.tolist()).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("kinds", "no column 'kinds' for labels; did you mean 'kind'?"),
        (np.zeros(60), "labels of type ndarray are no name of a column"),
    ],
)
def test_labels_that_fit_no_frame_are_refused(frame, labels, message):
    with pytest.raises(DataError) as caught:
        load(frame, labels=labels)
    assert message in str(caught.value)


def test_a_name_fits_no_array():
    with pytest.raises(DataError, match="labels='y' names a column of a table, but the data are"):
        load(np.zeros((9, 2)), labels="y")


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        "",
        object(),
        {1, 2},
        {},
        {"a": [1, 2, 3], "b": [1, 2]},
        {"a": np.zeros((5, 2, 2))},
        np.array([[1, "x"]] * 9, object),
        [[1, 2], [3]],
    ],
)
def test_what_is_no_data_is_refused(data):
    with pytest.raises(DataError):
        load(data)


def test_tensors_and_masked_arrays_are_arrays():
    x = np.random.default_rng(0).normal(size=(50, 3))
    tensor = torch.tensor(x, requires_grad=True)
    assert load(tensor).fingerprint == load(x).fingerprint
    masked = np.ma.masked_array(x, x > 2)
    with pytest.raises(DataError, match=r"rows without a value|has no value in"):
        load(masked)
    gaps = np.where(x > 2, np.nan, x)
    given = {"preparation": Preparation(missing="mean")}
    assert load(masked, **given).fingerprint == load(gaps, **given).fingerprint


def test_data_of_another_shape_type_or_order_have_another_file(tmp_path):
    x = np.random.default_rng(0).random((50, 8, 8))
    long = np.random.default_rng(0).normal(size=(60, 2000))
    other = long.copy()
    other[:, 500:1500] = 0.5
    sizes = ["s", "m", "l"] * 20
    order = pd.Categorical(sizes, ["s", "m", "l"], ordered=True)
    numbers = {"a": np.arange(60.0)}
    given = [
        x,
        x.reshape(50, -1),
        x.astype(np.float32),
        {"v": long},
        {"v": other},
        {"v": list(long)[::-1]},
        {"s": sizes, **numbers},
        {"s": order, **numbers},
    ]
    paths = {memory.save(data, None, tmp_path)[0] for data in given}
    assert len(paths) == len(given)
    for data in given:
        path, _ = memory.save(data, None, tmp_path)
        assert load(str(path)).fingerprint == load(data).fingerprint


@pytest.mark.parametrize(
    "categories",
    [[1, 2, 3], [1.5, 2.5, 3.5], ["1", "2", "3"], ["true", "false", "x"], [True, False]],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_categories_of_pandas_stay_categories_in_a_file(tmp_path, categories, ordered):
    column = pd.Categorical((categories * 60)[:60], categories, ordered=ordered)
    frame = pd.DataFrame({"k": column, "a": np.arange(60.0) ** 2})
    data = load(frame)
    assert data.preprocessor.encoder.columns[0].kind == ("ordinal" if ordered else "category")
    path, _ = memory.save(frame, None, tmp_path)
    stored = load(str(path))
    assert stored.fingerprint == data.fingerprint
    assert np.array_equal(stored.preprocessor.apply(frame), data.preprocessor.apply(frame))


def test_masked_columns_have_gaps(tmp_path):
    values = np.ma.masked_array(np.arange(60), np.arange(60) % 7 == 0)
    table = {"a": values, "b": np.arange(60.0) ** 2}
    gaps = np.where(np.arange(60) % 7 == 0, np.nan, np.arange(60))
    frame = pd.DataFrame({"a": gaps, "b": table["b"]})
    given = {"preparation": Preparation(missing="mean")}
    assert load(table, **given).fingerprint == load(frame, **given).fingerprint
    path, _ = memory.save(table, None, tmp_path)
    assert load(str(path), **given).fingerprint == load(frame, **given).fingerprint


@pytest.mark.parametrize("column", [[1, "x", 2.5] * 20, [10**30] * 60, [{"a": 1}, [2]] * 30])
def test_a_table_that_no_file_holds_is_refused(column, tmp_path):
    with pytest.raises(DataError, match="give each column one type"):
        memory.save({"a": column}, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_data_in_memory_are_written_once_for_later(frame, tmp_path):
    path, labels = memory.save(frame, "kind", tmp_path)
    assert labels == "kind"
    assert load(str(path), labels=labels).fingerprint == load(frame, labels="kind").fingerprint
    written = path.stat().st_mtime_ns
    assert memory.save(frame.copy(), "kind", tmp_path) == (path, labels)
    assert path.stat().st_mtime_ns == written
    other, _ = memory.save(frame.assign(b=0.0), "kind", tmp_path)
    assert other != path


@pytest.mark.parametrize("shape", [(60, 4), (60, 8, 8), (60, 3, 8, 8)])
def test_arrays_are_written_with_their_labels(tmp_path, shape):
    x, y = np.random.default_rng(0).random(shape), np.arange(60) % 3
    path, labels = memory.save(x, y, tmp_path)
    assert labels is None
    stored = load(str(path))
    assert stored.fingerprint == load(x).fingerprint
    assert set(stored.train_labels) == {0, 1, 2}


def test_vectors_and_categories_survive_the_file(frame, tmp_path):
    frame["v"] = list(np.random.default_rng(0).normal(size=(60, 3)))
    frame["size"] = pd.Categorical(["s", "m", "l"] * 20, ["s", "m", "l"], ordered=True)
    path, _ = memory.save(frame, "kind", tmp_path)
    assert load(str(path), labels="kind").fingerprint == load(frame, labels="kind").fingerprint


def test_a_folder_that_cannot_be_written_to_is_named(frame, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="choose a folder that can be written to with --artifacts"):
        memory.save(frame, "kind", tmp_path / "file")
