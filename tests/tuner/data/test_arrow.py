import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from tests.tuner.data.refusals import refusal
from tuner.data import Preparation, load

ENDINGS = ("parquet", "feather", "arrow", "stream.arrow")
LAYOUTS = {
    "list": pa.list_(pa.float32()),
    "large_list": pa.large_list(pa.float32()),
    "fixed_size_list": pa.list_(pa.float32(), 5),
    "list_view": pa.list_view(pa.float32()),
}


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(3, 2, (40, 5)).astype(np.float32)


def column(vectors, kind=LAYOUTS["list"]):
    return pa.array(list(map(list, vectors)), kind)


def written(folder, table, ending="parquet"):
    path = folder / f"t.{ending}"
    if ending == "parquet":
        parquet.write_table(table, path)
    elif ending == "feather":
        feather.write_feather(table, str(path))
    else:
        new = pa.ipc.new_stream if ending.startswith("stream") else pa.ipc.new_file
        with path.open("wb") as stream, new(stream, table.schema) as writer:
            writer.write_table(table, max_chunksize=17)
    return path


def raw(data):
    scaling = data.preprocessor.scaling
    return np.concatenate([scaling.invert(data.train), scaling.invert(data.test)])


def rows(x):
    return x[np.lexsort(x.T)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_column_of_vectors_is_the_points(tmp_path, vectors, ending):
    data = load(str(written(tmp_path, pa.table({"embedding": column(vectors)}), ending)))
    assert data.train.shape == (32, 5)
    assert data.train_labels is None
    assert np.allclose(rows(raw(data)), rows(vectors), atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_every_layout_of_lists_gives_the_same(tmp_path, vectors, layout, ending):
    if (layout, ending) == ("list_view", "parquet"):
        pytest.skip("Parquet has no such layout")
    first = load(str(written(tmp_path, pa.table({"v": column(vectors)}))))
    table = pa.table({"v": column(vectors, LAYOUTS[layout])})
    again = load(str(written(tmp_path, table, ending)))
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("ending", ENDINGS)
def test_plain_columns_are_read_as_from_csv(tmp_path, ending):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=30), "kind": ["u", "v"] * 15, "b": np.arange(30)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = pa.Table.from_pandas(frame)
    of_csv = load(str(tmp_path / "t.csv"), labels="kind")
    ours = load(str(written(tmp_path, table, ending)), labels="kind")
    assert ours.fingerprint == of_csv.fingerprint
    assert ours.label_names == ("u", "v")
    assert np.array_equal(ours.train_labels, of_csv.train_labels)


def test_vectors_stand_beside_numbers_and_labels(tmp_path, vectors):
    table = pa.table(
        {
            "v": column(vectors),
            "kind": pa.array(["u", "v"] * 20).dictionary_encode(),
            "a": np.arange(40.0),
        }
    )
    data = load(str(written(tmp_path, table)), labels="kind")
    assert data.shape == (6,)
    assert data.label_names == ("u", "v")
    codes = np.concatenate([data.train_labels, data.test_labels])
    assert np.array_equal(codes, raw(data)[:, 5].round() % 2)


def test_distances_between_vectors_keep_their_proportions(tmp_path):
    spread = np.random.default_rng(1).normal(size=(40, 3)) * [1, 10, 0.1]
    data = load(str(written(tmp_path, pa.table({"v": column(spread, pa.list_(pa.float64()))}))))
    assert len(np.unique(data.preprocessor.scaling.scale)) == 1
    assert np.isclose(data.train.var(axis=0).mean(), 1)
    apart = np.linalg.norm(data.train[1:] - data.train[0], axis=1)
    own = raw(data)[: len(data.train)]
    assert np.allclose(
        apart * data.preprocessor.scaling.scale[0], np.linalg.norm(own[1:] - own[0], axis=1)
    )


@pytest.mark.parametrize("inner", [pa.float16(), pa.float64(), pa.int8(), pa.uint64(), pa.bool_()])
def test_vectors_of_any_numbers_work(tmp_path, inner):
    numbers = np.random.default_rng(0).integers(0, 2, (20, 3))
    kind = inner.to_pandas_dtype()
    lists = pa.array([list(map(kind, row)) for row in numbers], pa.list_(inner))
    data = load(str(written(tmp_path, pa.table({"v": lists}), "arrow")))
    assert np.array_equal(rows(raw(data).round(5)), rows(numbers))


def test_vectors_of_bytes_and_of_floats_are_the_same(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4))
    first, second = (
        load(str(written(tmp_path, pa.table({"v": column(pixels, pa.list_(kind))}))))
        for kind in (pa.uint8(), pa.float64())
    )
    assert np.array_equal(first.train, second.train)
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("ending", ENDINGS)
def test_ragged_vectors_are_refused_with_their_row(tmp_path, vectors, ending):
    ragged = list(map(list, vectors))
    ragged[23] = ragged[23][:4]
    path = written(tmp_path, pa.table({"v": pa.array(ragged, LAYOUTS["list"])}), ending)
    sentence = refusal(path)
    assert "column 'v' has a vector of 4 numbers in row 23, but one of 5 in row 0" in sentence


@pytest.mark.parametrize("kind", [LAYOUTS["list"], LAYOUTS["fixed_size_list"]])
def test_a_row_without_a_vector_is_named(tmp_path, vectors, kind):
    gaps = list(map(list, vectors))
    gaps[31] = None
    path = written(tmp_path, pa.table({"v": pa.array(gaps, kind)}), "arrow")
    assert "no vector in row 31" in refusal(path)


@pytest.mark.parametrize(
    ("value", "message"), [(None, "nan"), (float("nan"), "nan"), (float("inf"), "inf")]
)
def test_a_number_that_a_vector_lacks_is_named(tmp_path, vectors, value, message):
    gaps = list(map(list, vectors))
    gaps[12][3] = value
    path = written(tmp_path, pa.table({"v": pa.array(gaps, LAYOUTS["list"])}))
    assert f"column 'v' holds {message} in row 12, at [3]" in refusal(path)


@pytest.mark.parametrize("inner", [pa.int32(), pa.bool_()])
def test_a_whole_number_that_a_vector_lacks_is_named(tmp_path, inner):
    gaps = pa.array([[1, 0], [1, None], [0, 0]], pa.list_(pa.int32())).cast(pa.list_(inner))
    path = written(tmp_path, pa.table({"v": gaps}), "arrow")
    assert "column 'v' holds nan in row 1, at [1]" in refusal(path)


def test_an_empty_vector_is_refused(tmp_path):
    path = written(tmp_path, pa.table({"v": pa.array([[], []], LAYOUTS["list"])}), "arrow")
    assert "vectors of length 0" in refusal(path)


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        (pa.array([{"b": 1}, {"b": 2}, {"b": 3}]), "holds values of type dict"),
        (pa.array([[["1"]], [["2"]], [["3"]]]), "holds lists that are no vectors"),
        (pa.array([["x"], ["y"], ["z"]]), "holds lists that are no vectors"),
        (pa.array([[[1.0]], [[2.0]], [[3.0]]]), "holds lists that are no vectors"),
        (pa.array([[("k", 1.0)]] * 3, pa.map_(pa.string(), pa.float64())), "holds lists"),
    ],
)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_other_nested_columns_are_refused(tmp_path, nested, message, ending):
    path = written(tmp_path, pa.table({"z": [1.0, 2.0, 3.0], "a": nested}), ending)
    sentence = refusal(path)
    assert f"column 'a' {message}" in sentence
    assert "--drop a" in sentence
    assert load(str(path), preparation=Preparation(drop=("a",))).shape == (1,)


def test_a_tensor_column_is_refused(tmp_path):
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 2))
    tensors = pa.ExtensionArray.from_storage(
        kind, pa.array([[1, 2, 3, 4.0]] * 3, kind.storage_type)
    )
    assert "holds lists that are no vectors" in refusal(
        written(tmp_path, pa.table({"a": tensors}), "arrow")
    )


def test_vectors_are_no_labels(tmp_path, vectors):
    table = pa.table({"v": column(vectors), "a": np.arange(40.0)})
    assert "holds vectors, but labels are one" in refusal(written(tmp_path, table), labels="v")


def test_an_unknown_column_of_labels_is_refused(tmp_path, vectors):
    path = written(tmp_path, pa.table({"vector": column(vectors)}), "feather")
    assert "did you mean 'vector'?; it has vector" in refusal(path, labels="vectro")


@pytest.mark.parametrize("ending", ENDINGS)
def test_tables_without_rows_or_features_are_refused(tmp_path, vectors, ending):
    table = pa.table({"v": column(vectors), "kind": ["u", "v"] * 20})
    assert "no points" in refusal(written(tmp_path, table[:0], ending), labels="kind")
    only = table.select(["kind"])
    assert "no columns to cluster" in refusal(written(tmp_path, only, ending), labels="kind")


def test_texts_are_categories_beside_vectors(tmp_path, vectors):
    path = written(tmp_path, pa.table({"v": column(vectors), "kind": ["u", "v"] * 20}), "arrow")
    data = load(str(path))
    assert data.preprocessor.encoder.features[5:] == ("kind=u", "kind=v")
    assert np.array_equal(np.unique(raw(data)[:, 5:].round(5), axis=0), [[0, 1], [1, 0]])


def test_equal_vectors_are_refused(tmp_path):
    path = written(tmp_path, pa.table({"v": column(np.ones((9, 5)))}))
    assert "nothing to cluster" in refusal(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_columns_of_one_name_are_refused(tmp_path, ending):
    if ending == "feather":
        pytest.skip("Feather's writer refuses them itself")
    table = pa.table([pa.array([1.0, 2]), pa.array([1.0, 2])], names=["a", "a"])
    assert "several columns 'a'" in refusal(written(tmp_path, table, ending))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_the_row_labels_of_pandas_are_left_out(tmp_path, ending):
    frame = pd.DataFrame({"a": np.arange(9.0)})
    data = load(str(written(tmp_path, pa.Table.from_pandas(frame.loc[[1, 5, 2, 8]]), ending)))
    assert data.preprocessor.encoder.names == ("a",)
    assert data.notes == ("column '__index_level_0__' is a pandas index, and is left out",)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("size", [3, 8, 100, -20])
def test_a_cut_file_is_refused(tmp_path, vectors, ending, size):
    path = written(tmp_path, pa.table({"v": column(vectors)}), ending)
    path.write_bytes(path.read_bytes()[:size])
    if (ending, size) == ("stream.arrow", -20):
        pytest.skip("a stream may end without its end mark")
    assert str(path) in refusal(path)


def test_damage_inside_is_seen_before_the_numbers_are_used(tmp_path):
    kinds = pa.array(["u", "v"] * 20).dictionary_encode()
    path = written(tmp_path, pa.table({"a": np.arange(40.0), "kind": kinds}), "stream.arrow")
    content = path.read_bytes()
    codes = np.tile(np.array([0, 1], np.int32), 17 // 2).tobytes()
    assert codes in content
    path.write_bytes(content.replace(codes, b"\x7f" * len(codes)))
    assert "damaged" in refusal(path, labels="kind")


def test_the_first_version_of_feather_is_told(tmp_path):
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(200))
    assert "first version of the Feather format" in refusal(tmp_path / "old.feather")


@pytest.mark.parametrize("ending", ENDINGS)
def test_more_than_memory_is_refused(tmp_path, monkeypatch, vectors, ending):
    path = written(tmp_path, pa.table({"v": column(vectors)}), ending)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 500}))
    assert "GiB of memory" in refusal(path)


def test_a_parquet_file_is_measured_by_its_header(tmp_path, monkeypatch, vectors):
    path = written(tmp_path, pa.table({"v": column(vectors)}))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 3500}))
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read", lambda *_: pytest.fail("was read"))
    assert "GiB of memory" in refusal(path)
