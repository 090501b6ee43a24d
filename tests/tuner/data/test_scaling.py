import numpy as np
import pytest

from tuner.data.rules import fit_inferred, fit_scaling, known_unit
from tuner.data.scaling import Scaling, blocks
from tuner.data.table.columns import CATEGORY, INDICATOR, NUMBER, VECTOR
from tuner.errors import DataError


def test_columns_of_numbers_are_standardised_one_by_one():
    x = np.random.default_rng(0).normal([5, -300, 0.01], [2, 100, 1e-4], (400, 3))
    scaled = fit_scaling(x, "standard", ()).apply(x)
    assert scaled.dtype == np.float32
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(scaled.std(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["?", "u1", "i1", "i2", "u4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("rule", ["standard", "robust", "log1p", "range", "unit", "none"])
def test_the_type_does_not_matter(rule, kind):
    x = np.random.default_rng(0).integers(0, 2 if kind == "?" else 100, (300, 4))
    expected = fit_scaling(x, rule, ()).apply(x)
    assert np.array_equal(fit_scaling(x.astype(kind), rule, ()).apply(x.astype(kind)), expected)


def test_features_of_one_vector_are_divided_by_one_number():
    x = np.random.default_rng(3).normal([5, 0, 9, -2], [1, 3, 0, 50], (600, 4))
    scaling = fit_scaling(x, "standard", ((VECTOR, 0, 3), (NUMBER, 3, 4)))
    scaled = scaling.apply(x)
    expected = np.sqrt(x[:, :3].var(axis=0).mean())
    assert np.allclose(scaling.scale, [expected, expected, expected, x[:, 3].std()])
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.isclose(scaled[:, :3].var(axis=0).mean(), 1)
    lengths = np.linalg.norm(x[1:, :3] - x[0, :3], axis=1)
    assert np.allclose(np.linalg.norm(scaled[1:, :3] - scaled[0, :3], axis=1) * expected, lengths)


def test_a_constant_vector_is_only_shifted():
    x = np.stack([np.full(9, 4.1), np.full(9, -7.3), np.arange(9.0)], axis=1)
    scaling = fit_scaling(x, "standard", ((VECTOR, 0, 2), (NUMBER, 2, 3)))
    assert scaling.scale[:2].tolist() == [1, 1]
    assert np.allclose(scaling.apply(x)[:, :2], 0, atol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_categories_are_one_apart_however_rare(share):
    x = np.zeros((400, 3))
    x[:, 0] = np.arange(400) < 400 * share
    x[:, 1] = 1 - x[:, 0]
    x[:, 2] = x[:, 0]
    scaling = fit_scaling(x, "standard", ((CATEGORY, 0, 2), (INDICATOR, 2, 3)))
    first, last = scaling.apply(x)[[0, -1]]
    assert np.linalg.norm(first[:2] - last[:2]) == pytest.approx(1)
    assert abs(first[2] - last[2]) == pytest.approx(1)
    assert np.allclose(scaling.apply(x).mean(axis=0), 0, atol=1e-6)


def test_robust_scaling_ignores_a_few_wild_values_and_clips_them():
    x = np.random.default_rng(0).normal(7, 2, (1000, 2))
    clean = fit_scaling(x, "standard", ()).apply(x)
    x[:3, 0] = 1e6
    scaling = fit_scaling(x, "robust", ())
    scaled = scaling.apply(x)
    assert np.abs(scaled[3:, 0] - clean[3:, 0]).max() < 0.3
    assert scaled[:3, 0].tolist() == [10, 10, 10]
    assert fit_scaling(x, "standard", ()).apply(x)[3:, 0].std() < 0.01


def test_robust_scaling_falls_back_where_the_quartiles_are_equal():
    x = np.zeros((100, 2))
    x[:, 1] = np.arange(100)
    x[:10, 0] = np.arange(10)
    x[0, 0] = 1e6
    trimmed = x[:, 0].clip(*np.quantile(x[:, 0], [0.05, 0.95]))
    assert fit_scaling(x, "robust", ()).scale[0] == pytest.approx(trimmed.std())
    codes = np.repeat([1.0, 2, 3], [18, 11, 71])[:, None]  # with quartiles 2 to 3, or 2.75 to 3
    assert np.abs(fit_scaling(codes, "robust", ()).apply(codes)).max() < 3


@pytest.mark.parametrize("rule", ["standard", "robust"])
@pytest.mark.parametrize(("mean", "deviation"), [(0, 1e-16), (1.6e9, 0.2), (1e-9, 1e-12)])
def test_tiny_and_far_away_columns_are_scaled_like_others(rule, mean, deviation):
    x = mean + deviation * np.random.default_rng(0).normal(size=(200_000, 1))
    assert fit_scaling(x, rule, ()).apply(x).std() == pytest.approx(1, abs=0.02)


def test_one_range_keeps_the_proportions_between_features():
    x = np.array([[0, 8], [4, 16]], np.uint8)
    assert fit_scaling(x, "range", ()).apply(x).tolist() == [[0, 0.5], [0.25, 1]]
    images = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    assert fit_scaling(images, "range", ()).apply(images).max() == 1


def test_one_unit_keeps_distances_up_to_a_factor():
    x = np.random.default_rng(0).normal(5, [1, 10, 0.1], (200, 3))
    scaling = fit_scaling(x, "unit", ())
    assert len(np.unique(scaling.scale)) == 1
    assert scaling.apply(x).var(axis=0).mean() == pytest.approx(1)


def test_counts_are_compared_at_equal_totals():
    rng = np.random.default_rng(0)
    rates = rng.gamma(1.0, 1.0, 30)
    depth = rng.uniform(0.2, 5, (200, 1))
    x = rng.poisson(400 * rates * depth)
    scaling = fit_scaling(x, "log1p", ())
    assert scaling.library_size == np.median(x.sum(axis=1))
    doubled = scaling.apply(2 * x)
    assert np.allclose(doubled, scaling.apply(x), atol=1e-5)
    back = scaling.invert(scaling.apply(x))
    assert np.allclose(back.sum(axis=1), scaling.library_size, rtol=1e-3)
    assert np.allclose(back / back.sum(axis=1)[:, None], x / x.sum(axis=1)[:, None], atol=1e-4)
    with pytest.raises(DataError, match="-1 is no count"):
        scaling.apply(x - x - 1)
    with pytest.raises(DataError, match="--scale log1p is for counts, but the data hold -3"):
        fit_scaling(np.array([[1, -3], [2, 2]]), "log1p", ())


@pytest.mark.parametrize("rule", ["standard", "robust", "log1p", "range", "unit", "none"])
def test_every_rule_survives_storage(rule):
    x = np.random.default_rng(0).poisson(9, (50, 4))
    scaling = fit_scaling(x, rule, ())
    again = Scaling.from_arrays(scaling.to_arrays())
    assert np.array_equal(again.apply(x), scaling.apply(x))
    assert np.array_equal(again.invert(x), scaling.invert(x))


def test_a_large_offset_keeps_small_differences():
    seconds = 1.7e9 + np.arange(100.0).reshape(50, 2)
    scaling = fit_scaling(seconds, "standard", ())
    assert np.allclose(scaling.apply(seconds).mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scaling.apply(seconds).std(axis=0), 1, atol=1e-5)


def test_invert_gives_raw_units_back():
    x = np.random.default_rng(1).normal(50, 10, (100, 4, 3))
    scaling = fit_scaling(x, "standard", ())
    assert scaling.shift.shape == (4, 3)
    assert np.allclose(scaling.invert(scaling.apply(x)), x, rtol=1e-5)


def test_blocks_give_the_same_as_the_whole(monkeypatch):
    x = np.random.default_rng(2).normal(3, 2, (1000, 5))
    whole = (x - x.mean(axis=0)) / x.std(axis=0)
    monkeypatch.setattr(blocks, "__defaults__", (33,))
    assert len(list(blocks(x))) > 100
    assert np.allclose(fit_scaling(x, "standard", ()).apply(x), whole, atol=1e-6)


@pytest.mark.parametrize(
    "arrays",
    [
        {"shift": np.zeros(2)},
        {"shift": np.zeros(2), "scale": np.array([1.0, 0])},
        {"shift": np.array([np.nan]), "scale": np.ones(1)},
        {"shift": np.zeros(2), "scale": np.ones(2), "counts": np.array([True, False])},
    ],
)
def test_a_broken_scaling_is_refused(arrays):
    with pytest.raises(DataError):
        Scaling.from_arrays(arrays)


@pytest.mark.parametrize(
    ("x", "unit", "expected", "rule"),
    [
        ([[0.0, 1], [0.5, 0.25]], None, [[0, 1], [0.5, 0.25]], "as it is"),
        (
            np.array([[0, 255], [51, 3]], np.uint8),
            None,
            [[0, 1], [0.2, 3 / 255]],
            "divided by 255",
        ),
        (np.array([[0, 1], [1, 1]], np.uint8), None, [[0, 1], [1, 1]], "as it is"),
        ([[0, 8.0], [4, 12]], 16.0, [[0, 0.5], [0.25, 0.75]], "divided by 16"),
        ([[7.0, 0], [7, 4]], None, [[0, -1], [0, 1]], "standardised"),
    ],
)
def test_searches_of_before_keep_their_scaling(x, unit, expected, rule):
    scaling, told = fit_inferred(np.asarray(x), unit)
    assert told == rule
    assert np.allclose(scaling.apply(np.asarray(x)), expected)


def test_a_known_unit_divides():
    scaling, rule = known_unit(255.0)
    assert rule == "divided by 255"
    assert scaling.apply(np.array([[51]], np.uint8)) == np.float32(0.2)
