import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tuner.errors import DataError, PromotionRefusedError
from tuner.evaluation import comparison
from tuner.evaluation.graph import neighbour_graph, sample_indices
from tuner.evaluation.separation import modularity

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Labels]:
    data = load_digits()
    return (data.data / 16).astype(np.float32)[:360], data.target[:360].astype(np.int64)


def wrong(labels: Labels, share: float, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, 10, len(labels)), labels)


def test_a_better_challenger_is_promoted_and_a_worse_one_is_not(
    digits: tuple[Array, Labels],
) -> None:
    x, truth = digits
    worse = wrong(truth, 0.2)
    up = comparison.compare(truth, worse, x, fingerprint="digits")
    down = comparison.compare(worse, truth, x, fingerprint="digits")
    assert up.promoted
    assert up.wins == 1
    assert up.mean_difference > 0.05
    assert not down.promoted
    assert down.wins == 0
    assert down.mean_difference == pytest.approx(-up.mean_difference)


def test_an_equal_challenger_is_refused(digits: tuple[Array, Labels]) -> None:
    x, truth = digits
    verdict = comparison.compare((truth + 3) % 10, truth, x, fingerprint="digits", draws=20)
    assert verdict.wins == 0
    assert verdict.mean_difference == pytest.approx(0)
    assert not verdict.promoted


def test_a_gain_within_the_noise_is_refused(digits: tuple[Array, Labels]) -> None:
    x, truth = digits
    almost = truth.copy()
    almost[:3] = (almost[:3] + 5) % 10
    verdict = comparison.compare(truth, almost, x, fingerprint="digits")
    assert verdict.mean_difference > comparison.MIN_DIFFERENCE
    assert 0.8 < verdict.wins < comparison.MIN_WINS
    assert not verdict.promoted


@pytest.mark.parametrize(
    ("wins", "gain", "promoted"),
    [(0.95, 0.006, True), (0.945, 0.006, False), (1.0, 0.004, False)],
)
def test_both_conditions_must_hold(
    monkeypatch: pytest.MonkeyPatch, wins: float, gain: float, promoted: bool
) -> None:
    won = np.arange(200) < round(200 * wins)
    extra = (200 * gain + 0.001 * (~won).sum()) / won.sum()
    scores = np.column_stack([0.5 + np.where(won, extra, -0.001), np.full(200, 0.5)])
    monkeypatch.setattr(comparison, "scores_over_draws", lambda *a, **k: scores)
    x = np.zeros((30, 2), dtype=np.float32)
    verdict = comparison.compare(np.zeros(30), np.zeros(30), x, fingerprint="a")
    assert verdict.wins == pytest.approx(wins)
    assert verdict.mean_difference == pytest.approx(gain)
    assert verdict.promoted is promoted


def test_each_draw_is_a_half_with_its_own_graph(digits: tuple[Array, Labels]) -> None:
    x, truth = digits
    other = wrong(truth, 0.1)
    scores = comparison.scores_over_draws(
        [truth, other], x, fingerprint="f", objective="modularity", draws=5
    )
    nearest = comparison._neighbours(comparison.reduce_dimensions(x), 80)
    for i in range(5):
        half = sample_indices(len(x), f"f/{i}", len(x) // 2)
        assert len(half) == 180
        points = comparison.reduce_dimensions(x)[half]
        direct = comparison._neighbours(points, 10)
        within = comparison._neighbours_within(comparison.reduce_dimensions(x), nearest, half, 10)
        assert (
            direct == within
        ).mean() > 0.999  # points at equal distances may be in another order
        graph = comparison.jaccard_graph(direct, half)
        assert scores[i, 0] == pytest.approx(modularity(graph, truth[half]), abs=1e-3)


def test_too_few_candidate_neighbours_are_recomputed(
    digits: tuple[Array, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, truth = digits
    expected = comparison.scores_over_draws([truth], x, fingerprint="f", draws=3)
    monkeypatch.setattr(comparison, "_CANDIDATES", 12)
    short = comparison.scores_over_draws([truth], x, fingerprint="f", draws=3)
    np.testing.assert_allclose(short, expected, atol=1e-3)


def test_the_interval_holds_the_score_and_shrinks_with_the_data(
    digits: tuple[Array, Labels],
) -> None:
    x, truth = digits
    score = float(modularity(neighbour_graph(x, fingerprint="f"), truth))
    low, high = comparison.interval(truth, x, score=score, fingerprint="f")
    assert low < score < high
    few_low, few_high = comparison.interval(truth[:60], x[:60], score=score, fingerprint="f")
    assert high - low < few_high - few_low


def test_the_draws_depend_on_the_fingerprint_alone(digits: tuple[Array, Labels]) -> None:
    x, truth = digits
    one = comparison.interval(truth, x, score=0.5, fingerprint="one", draws=10)
    assert comparison.interval(truth, x, score=0.5, fingerprint="one", draws=10) == one
    assert comparison.interval(truth, x, score=0.5, fingerprint="two", draws=10) != one


def test_many_points_are_sampled(
    digits: tuple[Array, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, truth = digits
    monkeypatch.setattr(comparison, "MAX_POINTS", 100)
    index = sample_indices(len(x), "f", 100)
    limited = comparison.interval(truth, x, score=0.5, fingerprint="f", draws=10)
    assert limited == comparison.interval(
        truth[index], x[index], score=0.5, fingerprint="f", draws=10
    )


def test_few_points_have_a_score_but_cannot_decide() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    x = (10 * labels[:, None] + rng.normal(size=(12, 2))).astype(np.float32)
    low, high = comparison.interval(labels, x, score=0.5, fingerprint="f", draws=20)
    assert 0 < low <= high < 1
    with pytest.raises(
        PromotionRefusedError, match="12 test points are too few to compare two models"
    ):
        comparison.compare(labels, labels, x, fingerprint="f")
    assert comparison.interval(labels[:4], x[:4], score=0.5, fingerprint="f") is None
    with pytest.raises(DataError, match="4 test points are too few for a score"):
        comparison.scores_over_draws([labels[:4]], x[:4], fingerprint="f")


def test_clusters_of_other_points_are_refused(digits: tuple[Array, Labels]) -> None:
    x, truth = digits
    with pytest.raises(DataError, match="do not match 360 points"):
        comparison.interval(truth[:-1], x, score=0.5, fingerprint="f")
