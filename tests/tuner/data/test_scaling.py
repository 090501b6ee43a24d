import numpy as np
import pytest

from tuner.data.scaling import Scaling, blocks, fit_scaling
from tuner.errors import DataError


def test_everything_else_is_standardised_per_feature():
    x = np.random.default_rng(0).normal([5, -300, 0.01], [2, 100, 1e-4], (400, 3))
    scaling, rule = fit_scaling(x, None)
    scaled = scaling.apply(x)
    assert rule == "standardised"
    assert scaled.dtype == np.float32
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(scaled.std(axis=0), 1, atol=1e-6)


def test_numbers_within_the_unit_interval_stay():
    x = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)
    scaling, _ = fit_scaling(x, None)
    assert np.array_equal(scaling.apply(x), x)


@pytest.mark.parametrize(
    ("x", "value_range", "expected"),
    [
        (np.array([[0, 255], [51, 3]], np.uint8), None, [[0, 1], [0.2, 3 / 255]]),
        (np.array([[0, 1], [1, 1]], np.uint8), None, [[0, 1], [1, 1]]),
        (np.array([[0, 8.0], [4, 12]]), 16.0, [[0, 0.5], [0.25, 0.75]]),
    ],
)
def test_a_known_range_divides(x, value_range, expected):
    scaling, _ = fit_scaling(x, value_range)
    assert np.allclose(scaling.apply(x), expected)


def test_a_constant_feature_is_only_shifted():
    x = np.array([[7.0, 0], [7, 2], [7, 4]])
    scaling, _ = fit_scaling(x, None)
    assert scaling.scale[0] == 1
    assert np.array_equal(scaling.apply(x)[:, 0], [0, 0, 0])
    assert np.allclose(scaling.invert(scaling.apply(x)), x, atol=1e-6)


def test_features_of_one_vector_are_divided_by_one_number():
    x = np.random.default_rng(3).normal([5, 0, 9, -2], [1, 3, 0, 50], (600, 4))
    scaling, rule = fit_scaling(x, None, (3, 1))
    scaled = scaling.apply(x)
    expected = np.sqrt(x[:, :3].var(axis=0).mean())
    assert rule != "standardised"
    assert np.allclose(scaling.scale, [expected, expected, expected, x[:, 3].std()])
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.isclose(scaled[:, :3].var(axis=0).mean(), 1)
    lengths = np.linalg.norm(x[1:, :3] - x[0, :3], axis=1)
    assert np.allclose(np.linalg.norm(scaled[1:, :3] - scaled[0, :3], axis=1) * expected, lengths)


def test_a_constant_vector_is_only_shifted():
    x = np.stack([np.full(9, 4.1), np.full(9, -7.3), np.arange(9.0)], axis=1)
    scaling, _ = fit_scaling(x, None, (2, 1))
    assert scaling.scale[:2].tolist() == [1, 1]
    assert np.allclose(scaling.apply(x)[:, :2], 0, atol=1e-6)


def test_a_large_offset_keeps_small_differences():
    seconds = 1.7e9 + np.arange(100.0).reshape(50, 2)
    scaling, _ = fit_scaling(seconds, None)
    assert np.allclose(scaling.apply(seconds).mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scaling.apply(seconds).std(axis=0), 1, atol=1e-5)


def test_invert_gives_raw_units_back():
    x = np.random.default_rng(1).normal(50, 10, (100, 4, 3))
    scaling, _ = fit_scaling(x, None)
    assert scaling.shift.shape == (4, 3)
    assert np.allclose(scaling.invert(scaling.apply(x)), x, rtol=1e-5)


def test_blocks_give_the_same_as_the_whole(monkeypatch):
    x = np.random.default_rng(2).normal(3, 2, (1000, 5))
    whole = (x - x.mean(axis=0)) / x.std(axis=0)
    monkeypatch.setattr(blocks, "__defaults__", (33,))
    assert len(list(blocks(x))) > 100
    scaling, _ = fit_scaling(x, None)
    assert np.allclose(scaling.apply(x), whole, atol=1e-6)


def test_a_scaling_survives_storage():
    scaling = Scaling(np.array([1.0, 2]), np.array([3.0, 4]))
    again = Scaling.from_arrays(scaling.to_arrays())
    x = np.array([[5.0, 6]])
    assert np.array_equal(again.apply(x), scaling.apply(x))


@pytest.mark.parametrize(
    "arrays",
    [
        {"shift": np.zeros(2)},
        {"shift": np.zeros(2), "scale": np.array([1.0, 0])},
        {"shift": np.array([np.nan]), "scale": np.ones(1)},
    ],
)
def test_a_broken_scaling_is_refused(arrays):
    with pytest.raises(DataError):
        Scaling.from_arrays(arrays)
