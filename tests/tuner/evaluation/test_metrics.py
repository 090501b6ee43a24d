import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from tuner.errors import DataError
from tuner.evaluation import metrics


def normalised(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(20))
def test_metrics_equal_sklearn_on_random_partitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, c = rng.integers(2, 300), rng.integers(1, 12), rng.integers(1, 12)
    clusters, labels = rng.integers(0, k, n), rng.integers(0, c, n)
    table = metrics.contingency(clusters, labels)
    assert metrics.nmi(table) == pytest.approx(sk.normalized_mutual_info_score(labels, clusters))
    assert metrics.ami(table) == pytest.approx(
        sk.adjusted_mutual_info_score(labels, clusters), abs=1e-9
    )
    assert metrics.ari(table) == pytest.approx(sk.adjusted_rand_score(labels, clusters), abs=1e-9)


@pytest.mark.parametrize(
    ("clusters", "labels"),
    [
        ([0], [3]),
        ([0, 0, 0], [1, 1, 1]),
        ([0, 1, 2], [0, 0, 0]),
        ([0, 0, 0], [0, 1, 2]),
        ([0, 1, 2], [2, 0, 1]),
        ([0, 0, 1, 1], [0, 1, 0, 1]),
    ],
)
def test_degenerate_partitions_equal_sklearn(clusters: list[int], labels: list[int]) -> None:
    table = metrics.contingency(clusters, labels)
    assert metrics.nmi(table) == pytest.approx(sk.normalized_mutual_info_score(labels, clusters))
    assert metrics.ami(table) == pytest.approx(
        sk.adjusted_mutual_info_score(labels, clusters), abs=1e-9
    )
    assert metrics.ari(table) == pytest.approx(sk.adjusted_rand_score(labels, clusters))


def test_the_table_counts_points_by_cluster_and_class() -> None:
    table = metrics.contingency([5, 5, 9, 9, 9], ["b", "a", "a", "a", "c"])
    assert table.tolist() == [[1, 1, 0], [2, 0, 1]]


def test_hungarian_leaves_surplus_clusters_without_a_class() -> None:
    table = metrics.contingency([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 1])
    assert metrics.hungarian(table) == pytest.approx(4 / 6)
    assert metrics.majority(table) == 1.0


def test_hungarian_maps_one_to_one_where_majority_does_not() -> None:
    table = np.array([[6, 4], [5, 1]])
    assert metrics.majority(table) == pytest.approx(11 / 16)
    assert metrics.hungarian(table) == pytest.approx(9 / 16)


def test_the_exemplar_gives_its_class_to_the_whole_cluster() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
    # the most certain point of cluster 0 is of class 1, the majority is not
    assert metrics.exemplar_accuracy(np.log(p), [1, 0, 0, 0]) == pytest.approx(2 / 4)


def test_the_exemplar_may_lie_in_another_cluster() -> None:
    p = np.array([[0.40, 0.35, 0.25], [0.55, 0.45, 0.0001], [0.1, 0.1, 0.8]])
    p /= p.sum(axis=1, keepdims=True)
    log_p = np.log(np.vstack([p, [[0.33, 0.34, 0.33]]]))
    # cluster 1 holds the last point alone, but the second is more probable under it
    assert metrics.exemplar_accuracy(log_p, [7, 8, 9, 8]) == pytest.approx(3 / 4)


def test_certain_points_are_distinguished_by_log_odds() -> None:
    other = np.array([-40.0, -90.0, -60.0], dtype=np.float32)
    log_p = np.stack([np.zeros(3, dtype=np.float32), other], axis=1)
    assert len(np.unique(log_p[:, 0])) == 1  # the probabilities themselves are equal
    assert metrics.exemplar_accuracy(log_p, [0, 1, 1]) == pytest.approx(2 / 3)


def test_log_odds_equal_their_definition() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    np.testing.assert_allclose(metrics.log_odds(np.log(p)), np.log(p / (1 - p)), atol=1e-9)


def test_infinite_odds_win_without_a_warning() -> None:
    log_p = np.log(np.array([[1 - 1e-9, 1e-9], [0.6, 0.4], [0.1, 0.9]]))
    log_p[0] = [0.0, -np.inf]
    assert metrics.exemplar_accuracy(log_p, [0, 1, 2]) == pytest.approx(2 / 3)


def test_audit_returns_every_metric() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 100)
    log_p = normalised(10.0 * np.eye(5)[labels] + rng.normal(size=(100, 5)))
    figures = metrics.audit(log_p.astype(np.float32), labels)
    assert figures.pop("calibration_error") == pytest.approx(0.0, abs=0.01)
    assert set(figures) == {"hungarian", "majority", "gmvae", "nmi", "ami", "ari"}
    assert figures == pytest.approx(dict.fromkeys(figures, 1.0))


def test_a_diverged_replica_gets_the_worst_value_of_each_metric() -> None:
    log_p = np.full((4, 2), np.nan, dtype=np.float32)
    figures = metrics.audit(log_p, [0, 1, 0, 1])
    assert figures.pop("calibration_error") == 1.0
    assert set(figures.values()) == {0.0}


def test_the_calibration_error_is_the_gap_of_every_bin_by_its_share() -> None:
    confident = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])  # 3 of 4 right
    doubtful = np.array([[0.6, 0.4], [0.4, 0.6]])  # both right
    p, labels = np.concatenate([confident, doubtful]), [0, 0, 1, 1, 0, 1]
    expected = 4 / 6 * abs(3 / 4 - 0.9) + 2 / 6 * abs(1 - 0.6)
    assert metrics.calibration_error(np.log(p), labels) == pytest.approx(expected)


def test_confidence_as_large_as_accuracy_is_calibrated_and_names_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.5, 0.5, 0.5], size=20_000)
    labels = (rng.random((20_000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    renamed = np.array([7, 3, 5])[labels]
    assert metrics.calibration_error(np.log(p), renamed) < 0.02
    sharp = normalised(4 * np.log(p))
    assert metrics.calibration_error(sharp, renamed) > 0.1


def test_certainty_misses_by_the_share_of_wrong_points() -> None:
    certain = np.where(np.eye(2, dtype=bool)[[0, 0, 0, 1]], 0.0, -np.inf)
    assert metrics.calibration_error(certain, [0, 0, 1, 1]) == pytest.approx(1 / 4)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="2 points have 3 labels: give one per point"):
        metrics.contingency([0, 1], [0, 1, 1])
    with pytest.raises(DataError, match="give one label per point"):
        metrics.contingency([], [])
