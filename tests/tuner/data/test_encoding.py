"""What a model sees of raw data: names, order, types, gaps."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from tuner.data import Preparation, load
from tuner.data.preprocessor import Preprocessor
from tuner.errors import DataError


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal([0, 100, -5], [1, 30, 0.1], (80, 3)), columns=["a", "b", "c"])
    frame["kind"] = np.array(["u", "v"])[rng.integers(0, 2, 80)]
    return frame


@pytest.fixture
def preprocessor(frame):
    return load(frame).preprocessor


def stored(preprocessor):
    arrays = preprocessor.scaling.to_arrays()
    return Preprocessor.from_parts(preprocessor.to_mapping(), arrays, preprocessor.shape)


def test_columns_are_found_by_name(frame, preprocessor):
    expected = preprocessor.apply(frame)
    assert np.array_equal(preprocessor.apply(frame[["kind", "c", "a", "b"]]), expected)
    assert np.array_equal(stored(preprocessor).apply(frame[["b", "kind", "c", "a"]]), expected)


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.to_dict("records"),
        lambda frame: frame.to_numpy(),
        lambda frame: frame.to_numpy().tolist(),
        lambda frame: frame.astype({"a": "float64", "kind": "category"}),
    ],
)
def test_rows_may_come_in_any_container(frame, preprocessor, convert):
    assert np.array_equal(preprocessor.apply(convert(frame)), preprocessor.apply(frame))


def test_one_row_may_be_a_mapping(frame, preprocessor):
    row = frame.iloc[0].to_dict()
    arrays = {name: np.array(value) for name, value in row.items()}
    assert np.array_equal(preprocessor.apply(arrays), preprocessor.apply(frame)[:1])
    assert np.array_equal(preprocessor.apply(row), preprocessor.apply(frame)[:1])


def test_missing_and_renamed_columns_are_refused_by_name(frame, preprocessor):
    with pytest.raises(DataError, match=r"has no column 'b': name the columns as in the training"):
        preprocessor.apply(frame.drop(columns="b"))
    with pytest.raises(DataError, match=r"no columns 'a', 'c'; did you mean 'A'\?; it has 'A'"):
        preprocessor.apply(frame.rename(columns={"a": "A", "c": "C"}))


def test_columns_that_were_left_out_on_purpose_are_not_named(frame):
    given = {"labels": "kind", "preparation": Preparation(drop=("c",))}
    preprocessor = stored(load(frame, **given).preprocessor)
    expected = preprocessor.apply(frame[["a", "b"]])
    assert np.array_equal(preprocessor.apply(frame), expected)  # a warning would be an error


def test_further_columns_are_ignored_and_named(frame, preprocessor):
    with pytest.warns(
        UserWarning, match="ignored 2 columns that the model does not use: 'x', 'y'"
    ):
        scaled = preprocessor.apply(frame.assign(x=1, y="text"))
    assert np.array_equal(scaled, preprocessor.apply(frame))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "w"},
            r"column 'kind' holds 'w' in row 3 .* not in the training data: use one of 'u', 'v'",
        ),
        ({"kind": None}, "column 'kind' has no value in row 3"),
        ({"b": np.nan}, "column 'b' has no value in row 3"),
    ],
)
def test_values_that_training_did_not_have_are_refused(frame, preprocessor, change, message):
    (name,) = change
    frame.loc[3, name] = change[name]
    with pytest.raises(DataError, match=message):
        preprocessor.apply(frame)


def test_text_in_a_column_of_numbers_is_refused(frame, preprocessor):
    with pytest.raises(DataError, match="column 'b' holds 'many' in row 2, not a number"):
        preprocessor.apply(frame.astype({"b": object}).assign(b=["1", 2, "many"] + [4] * 77))


def test_points_without_names_are_found_by_position():
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[:, 2] = 5  # left out
    preprocessor = load(x).preprocessor
    expected = preprocessor.apply(x)
    assert expected.shape == (50, 3)
    for form in (
        pd.DataFrame(x, columns=list("wxyz")),
        x.tolist(),
        pd.DataFrame(x),
        x[:, [0, 1, 3]],
    ):
        if np.shape(form) == (50, 3):
            continue
        assert np.array_equal(preprocessor.apply(form), expected)
    with pytest.raises(DataError, match="shape"):
        preprocessor.apply(x[:, :2])
    with pytest.raises(DataError, match="has the columns '0', '1' but the model was trained on 4"):
        preprocessor.apply(pd.DataFrame(x[:, :2]))


def test_dropped_positions_may_stay_in_new_data():
    x = np.random.default_rng(0).normal(size=(50, 4))
    preprocessor = load(x, preparation=Preparation(drop=("1",))).preprocessor
    assert np.array_equal(preprocessor.apply(x), preprocessor.apply(x[:, [0, 2, 3]]))
    assert np.array_equal(preprocessor.apply(pd.DataFrame(x)), preprocessor.apply(x))


def test_vectors_come_as_lists_or_flat():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5))
    frame = pd.DataFrame({"embedding": list(vectors), "age": rng.normal(40, 9, 60)})
    preprocessor = stored(load(frame).preprocessor)
    expected = preprocessor.apply(frame)
    flat = np.column_stack([vectors, frame["age"]])
    assert np.array_equal(preprocessor.apply(flat), expected)
    back = preprocessor.invert(expected)
    assert np.allclose(np.stack(back["embedding"]), vectors, atol=1e-5)
    with pytest.raises(DataError, match="column 'embedding' does not hold vectors of 5 numbers"):
        preprocessor.apply(frame.assign(embedding=list(vectors[:, :4])))


@pytest.mark.parametrize(
    "given",
    [{}, {"missing": "mean"}, {"missing": "indicator"}, {"scale": "robust"}, {"scale": "none"}],
)
def test_storage_keeps_every_answer(frame, given):
    frame.loc[[2, 9], "a"] = np.nan if given.get("missing") else 0.0
    preprocessor = load(frame, preparation=Preparation(**given)).preprocessor
    again = stored(preprocessor)
    scaled = preprocessor.apply(frame)
    assert np.array_equal(again.apply(frame), scaled)
    pd.testing.assert_frame_equal(again.invert(scaled), preprocessor.invert(scaled))


@pytest.mark.parametrize("offset", [0, 1.6e9])
@pytest.mark.parametrize("scale", ["standard", "robust", "range", "unit"])
def test_what_is_inverted_gives_the_same_again(offset, scale):
    x = offset + 100 * np.random.default_rng(0).normal(size=(300, 3))
    preprocessor = load(x, preparation=Preparation(scale=scale)).preprocessor
    scaled = preprocessor.apply(x)
    assert np.abs(preprocessor.apply(preprocessor.invert(scaled)) - scaled).max() < 1e-6


def test_counts_with_empty_rows_are_inverted():
    x = np.random.default_rng(0).poisson(2, (300, 20))
    x[::7] = 0
    preprocessor = load(x, preparation=Preparation(scale="log1p")).preprocessor
    scaled = preprocessor.apply(x)
    assert np.abs(preprocessor.apply(preprocessor.invert(scaled)) - scaled).max() < 1e-4


@pytest.mark.parametrize("values", [["True", "False"], ["true", "FALSE"], [1, 0], [True, False]])
def test_booleans_come_as_texts_or_numbers(frame, values):
    frame["wild"] = np.arange(80) % 2 == 0
    preprocessor = load(frame).preprocessor
    expected = preprocessor.apply(frame)
    frame["wild"] = pd.Series(values * 40, dtype=object)
    assert np.array_equal(preprocessor.apply(frame), expected)
    assert np.array_equal(load(frame).preprocessor.apply(frame), expected) or values == [1, 0]
    frame.loc[3, "wild"] = 2 if values[1] in (0, False) else "maybe"
    with pytest.raises(DataError, match=r"column 'wild' holds '?(2|maybe)'? in row 3"):
        preprocessor.apply(frame)


def test_lists_are_arrays():
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[:, 2] = 5
    preprocessor = load(x).preprocessor
    expected = preprocessor.apply(x)
    assert np.array_equal(preprocessor.apply(x[:, [0, 1, 3]].tolist()), expected)
    dropped = load(x, preparation=Preparation(drop=("0",))).preprocessor
    assert np.array_equal(dropped.apply(x.tolist()), dropped.apply(x))


def test_a_sparse_matrix_too_large_for_an_array_is_refused():
    preprocessor = load(np.random.default_rng(0).poisson(1.0, (60, 20))).preprocessor
    with pytest.raises(DataError, match=r"shape \(1048576, 1073741824\) .* in parts"):
        preprocessor.apply(scipy.sparse.coo_matrix((2**20, 2**30)))


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_matrix"])
def test_a_sparse_matrix_is_an_array(form):
    counts = np.random.default_rng(0).poisson(1.0, (60, 20))
    given = getattr(scipy.sparse, form)(counts)
    for preparation in (Preparation(scale="log1p"), Preparation()):
        preprocessor = load(counts, preparation=preparation).preprocessor
        assert np.array_equal(preprocessor.apply(given), preprocessor.apply(counts))
    with pytest.raises(DataError, match=r"shape \(60, 7\) do not fit the model"):
        preprocessor.apply(given.tocsr()[:, :7])


def test_a_named_model_refuses_an_array_of_all_columns(frame):
    preprocessor = load(frame, preparation=Preparation(drop=("b",))).preprocessor
    with pytest.raises(DataError, match="the model was trained on 3 columns: give"):
        preprocessor.apply(frame.to_numpy())


@pytest.mark.parametrize(
    "raw",
    [{}, {"a": [1, 2], "b": [1]}, {"a": np.zeros((2, 2, 2))}, [{"a": 1j}], "text", None, 3],
)
@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_what_is_no_data_is_refused(raw, shape):
    x = np.random.default_rng(0).random((50, *shape))
    with pytest.raises(DataError):
        load(x).preprocessor.apply(raw)


def test_codes_of_pandas_and_those_that_are_named_are_categories(frame):
    frame["zip"] = np.array([10115, 20095, 80331])[np.arange(80) % 3]
    named = load(frame, preparation=Preparation(categories=("zip",)))
    assert named.preprocessor.encoder.features[-3:] == ("zip=10115", "zip=20095", "zip=80331")
    assert load(frame.astype({"zip": "category"})).fingerprint == named.fingerprint
    again = stored(named.preprocessor).apply(frame.astype({"zip": float}))
    assert np.array_equal(again, named.preprocessor.apply(frame))


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "tree"},
        {"columns": [{"name": "a", "kind": "tree"}]},
        {"columns": [{"name": "a", "size": 3}]},
        {"columns": [{"name": "a"}]},
        {"columns": None},
        {"missing": 3},
        {"width": float("inf")},
        {"missing": [None]},
        {"named": "yes"},
        {"columns": [{"name": 3}] * 5},
        {"columns": [{"name": "a"}] * 5},
        {"columns": [{"name": "a", "fill": "abc"}]},
        {"columns": [{"name": "a", "kind": "vector", "width": -1}]},
        {"columns": [{"name": "a", "kind": "category", "categories": "uu"}]},
        {"width": "wide"},
    ],
)
def test_a_damaged_encoder_is_refused(preprocessor, damage):
    arrays = preprocessor.scaling.to_arrays()
    with pytest.raises(DataError, match="stored encoder"):
        Preprocessor.from_parts({**preprocessor.to_mapping(), **damage}, arrays, (5,))
