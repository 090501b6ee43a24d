import numpy as np
import pytest

from tuner.data.content import Content
from tuner.data.dataset import prepare_dataset
from tuner.errors import DataError


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(20, 3, (100, 4))


def made(x, **given):
    return prepare_dataset("some", Content(x, **given), where="some")


def test_a_fifth_is_for_the_test(x):
    data = made(x)
    both = np.concatenate([data.train, data.test])
    assert (len(data.train), len(data.test)) == (80, 20)
    assert np.allclose(np.sort(data.preprocessor.invert(both)[:, 0]), np.sort(x[:, 0]), rtol=1e-5)


def test_scaling_comes_from_the_training_part_alone(x):
    data = made(x)
    assert np.allclose(data.train.mean(axis=0), 0, atol=1e-6)
    assert np.abs(data.test.mean(axis=0)).max() > 1e-3


def test_labels_stay_with_their_points_and_change_nothing_else(x):
    names = np.where(x[:, 0] > 20, "high", "low")
    with_labels, without = made(x, y=names), made(x)
    raw = with_labels.preprocessor.invert(with_labels.train)
    assert with_labels.label_names == ("high", "low")
    assert np.array_equal(with_labels.train_labels, np.where(raw[:, 0] > 20, 0, 1))
    assert with_labels.train_labels.dtype == np.int64
    assert np.array_equal(with_labels.train, without.train)
    assert np.array_equal(with_labels.test, without.test)
    assert with_labels.fingerprint == without.fingerprint
    assert without.train_labels is None
    assert without.label_names == ()


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (np.arange(100) % 3 * 5 - 5, ("-5", "0", "5")),
        (np.arange(100) % 2 == 0, ("False", "True")),
        (np.array([b"no", b"yes"] * 50), ("no", "yes")),
        (np.array([0.5, 2.0] * 50), ("0.5", "2.0")),
    ],
)
def test_codes_follow_the_sorted_values(x, y, names):
    data = made(x, y=y)
    assert data.label_names == names
    assert set(data.train_labels) == set(range(len(names)))


def test_a_published_test_part_is_kept_in_order(x):
    data = made(x[:70], y=np.arange(70) % 2, x_test=x[70:], y_test=np.arange(30) % 3)
    assert np.allclose(data.preprocessor.invert(data.test), x[70:], rtol=1e-5)
    assert np.array_equal(data.test_labels, np.arange(30) % 3)
    assert data.label_names == ("0", "1", "2")


def test_test_labels_alone_are_enough(x):
    data = made(x[:70], x_test=x[70:], y_test=np.arange(30) % 3)
    assert data.train_labels is None
    assert np.array_equal(data.test_labels, np.arange(30) % 3)


def test_the_fingerprint_tells_content_split_and_order(x):
    swapped, changed = x[::-1], x.copy()
    changed[3, 2] += 1e-9
    prints = {
        made(x).fingerprint,
        made(swapped).fingerprint,
        made(changed).fingerprint,
        made(x, unit=100.0).fingerprint,
        made(x[:80], x_test=x[80:]).fingerprint,
        made(x.reshape(100, 2, 2)).fingerprint,
        made(x, columns=tuple("abcd")).fingerprint,
        made({"v": x}, columns=("v",)).fingerprint,
        made({"v": x[:, :2], "w": x[:, 2:]}, columns=("v", "w")).fingerprint,
    }
    assert len(prints) == 9
    assert made(x.copy()).fingerprint == made(x).fingerprint
    assert len(made(x).fingerprint) == 64


@pytest.mark.parametrize("kind", [np.float16, np.uint8, np.int16, ">f4", ">i8", np.longdouble])
def test_any_number_is_taken(x, kind):
    data = made(x.astype(kind))
    assert data.train.dtype == np.float32
    assert np.isfinite(data.train).all()
    assert np.allclose(data.preprocessor.invert(data.train).mean(axis=0), x.mean(axis=0), atol=1)


def test_booleans_are_zero_and_one(x):
    data = made(x > 20)
    assert np.array_equal(data.train, made((x > 20).astype(float)).train)
    assert set(np.unique(data.preprocessor.invert(data.train).round(5))) == {0, 1}


def test_memory_order_and_byte_order_do_not_matter(x):
    plain = made(x)
    for other in (np.asfortranarray(x), x.astype(">f8")):
        assert np.array_equal(made(other).train, plain.train)
        assert made(other).fingerprint == plain.fingerprint


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 3), (3, 8, 4 + 1), (2, 9, 9)])
def test_points_of_two_to_four_axes_keep_their_shape(shape):
    data = made(np.random.default_rng(0).normal(size=(20, *shape)))
    assert data.shape == shape
    assert data.train.shape == (16, *shape)


@pytest.mark.parametrize("shape", [(), (20,), (20, 2, 2, 2, 2), (20, 0), (20, 3, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="has the shape"):
        made(np.zeros(shape))


@pytest.mark.parametrize(("n", "message"), [(0, "no points"), (1, "a single point")])
def test_too_few_points_are_refused(n, message):
    with pytest.raises(DataError, match=message):
        made(np.zeros((n, 3)))


def test_two_points_are_enough():
    data = made(np.array([[0.0, 7], [5, 7]]))
    assert (len(data.train), len(data.test)) == (1, 1)
    assert np.isfinite(data.test).all()


def test_equal_points_are_refused():
    with pytest.raises(DataError, match="nothing to cluster"):
        made(np.full((50, 3), 4.2))


def test_constant_features_are_named_and_left_out(x):
    x[:, 1] = 5
    data = made(x)
    assert data.shape == (3,)
    assert data.notes == ("column '1' has a single value and is left out",)
    assert np.array_equal(data.train, made(x[:, [0, 2, 3]]).train)
    back = data.preprocessor.invert(data.preprocessor.apply(x))
    assert np.allclose(back, x, rtol=1e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e38, -1e300])
def test_numbers_that_are_not_usable_are_named(x, value):
    x[42, 3] = value
    with pytest.raises(
        DataError, match=rf"column '3' holds {value:g} in row 42".replace("+", ".")
    ):
        made(x)


def test_numbers_that_are_missing_are_named(x):
    x[42, 3] = np.nan
    with pytest.raises(
        DataError, match="column '3' has no value in 1 of 100 rows, first in row 42"
    ):
        made(x)


def test_an_unusable_pixel_is_named():
    images = np.zeros((5, 3, 3), np.float32)
    images[1] = 2
    images[4, 2, 1] = np.nan
    with pytest.raises(DataError, match=r"row 4, position \(2, 1\)"):
        made(images)


def test_large_numbers_in_their_own_units_are_fine(x):
    data = made(x * 1e33)
    assert np.allclose(data.train.std(axis=0), 1, atol=1e-5)
    assert np.isfinite(data.preprocessor.invert(data.train)).all()


def test_objects_that_are_no_numbers_are_refused(x):
    structured = np.zeros(9, [("a", float), ("b", float)])
    dates = np.zeros((9, 2), "M8[s]")
    for bad, message in (
        (x.astype(object), "object"),
        (structured, "structured"),
        (x.astype(complex), "complex128"),
        (x.astype(str), "text"),
        (dates, "datetime64"),
    ):
        with pytest.raises(DataError, match=f"holds {message}"):
            made(bad)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(100), "single class, '0.0'"),
        (np.arange(99), r"shape \(99,\) for 100 points"),
        (np.zeros((100, 1)), r"shape \(100, 1\)"),
        (np.full(100, np.nan), "label nan in row 0"),
        (np.array([object()] * 100), "type object"),
    ],
)
def test_labels_that_fit_no_points_are_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        made(x, y=y)


def test_a_test_part_of_another_kind_is_refused(x):
    for x_test, message in (
        (x[:, :2], "give both the same shape"),
        (x[:0], "has no points"),
    ):
        with pytest.raises(DataError, match=message):
            made(x, x_test=x_test)
    with pytest.raises(DataError, match="no test points"):
        made(x, y_test=np.arange(100))


def test_unit_interval_looks_at_both_parts():
    x = np.random.default_rng(0).random((50, 2, 2))
    assert made(x).unit_interval
    assert made(x, x_test=x + 0.5).unit_interval
    assert not made(x, x_test=x + 0.5, unit=1.0).unit_interval
    assert made(x + 1).unit_interval
    assert not made(x.reshape(50, 4)).unit_interval
