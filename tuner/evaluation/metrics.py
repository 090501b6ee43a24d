"""Metrics of the agreement between clusters and known classes.

Three protocols are called accuracy in the literature. `hungarian` maps clusters to classes one to
one, `majority` assigns each cluster its most frequent class, and `gmvae` assigns it the class of
its most probable point. The last two grow with the number of clusters. AMI and ARI are corrected
for chance.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import entr, logsumexp
from sklearn.metrics.cluster import expected_mutual_information

from ..errors import DataError

Table = NDArray[np.int64]

_BINS = 15


def contingency(clusters: ArrayLike, labels: ArrayLike) -> Table:
    """Return the number of points in cluster k with class c, shape (K, C).

    Rows and columns are the clusters and classes that occur, in ascending order.
    """
    rows, k = _codes(clusters)
    columns, c = _codes(labels)
    if rows.shape != columns.shape:
        raise DataError(f"{rows.size} points have {columns.size} labels: give one per point")
    return np.bincount(rows * c + columns, minlength=k * c).reshape(k, c)


def hungarian(table: Table) -> float:
    """Return the accuracy under the best one-to-one map of clusters to classes.

    If there are more clusters than classes, the points of unmapped clusters count as wrong.
    """
    return float(table[_best_mapping(table)].sum() / table.sum())


def majority(table: Table) -> float:
    """Return the accuracy when each cluster is assigned its most frequent class (purity)."""
    return float(table.max(axis=1).sum() / table.sum())


def exemplar_accuracy(log_proba: ArrayLike, labels: ArrayLike) -> float:
    """Return the accuracy when each cluster is assigned the class of its most probable point.

    Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et
    al., 2016), section 4.2. log_proba has shape (N, K), labels (N,). Points are compared by
    log-odds, because hundreds of points may share the same float32 probability near 1.
    """
    log_p, truth = np.asarray(log_proba, dtype=np.float64), np.asarray(labels)
    exemplars = log_odds(log_p).argmax(axis=0)
    return float(np.mean(truth[exemplars[log_p.argmax(axis=1)]] == truth))


def calibration_error(log_proba: ArrayLike, labels: ArrayLike) -> float:
    """Return the expected calibration error, in [0, 1]; 0 is calibrated.

    Σ_b n_b / n |accuracy_b - confidence_b| over 15 bins of equal width of the confidence, which is
    the largest probability of a point. A point is correct under the mapping of `hungarian`.
    log_proba has shape (N, K), labels (N,). On Calibration of Modern Neural Networks (Guo et al.,
    2017), section 2.
    """
    log_p = np.asarray(log_proba, dtype=np.float64)
    clusters, classes = log_p.argmax(axis=1), np.asarray(labels)
    rows, columns = _best_mapping(contingency(clusters, classes))
    (cluster_codes, k), (class_codes, _) = _codes(clusters), _codes(classes)
    class_of_cluster = np.full(k, -1)
    class_of_cluster[rows] = columns
    correct = class_of_cluster[cluster_codes] == class_codes
    confidence = np.exp(log_p.max(axis=1)).clip(max=1.0)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, correct - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(classes))


def log_odds(log_proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log p - log(1 - p) of normalised log-probabilities (N, K).

    1 - p is the sum of the other clusters, so it is exact where p rounds to 1.
    """
    top = log_proba.argmax(axis=1)[:, None]
    others = log_proba.copy()
    np.put_along_axis(others, top, -np.inf, axis=1)
    with np.errstate(divide="ignore"):  # a probability of 1 has infinite odds
        odds = others - np.log1p(-np.exp(others))
        rest = logsumexp(others, axis=1, keepdims=True)
    np.put_along_axis(odds, top, np.take_along_axis(log_proba, top, axis=1) - rest, axis=1)
    return odds


def mutual_information(table: Table) -> float:
    """Return the mutual information of clusters and classes, in nats."""
    joint = table / table.sum()
    information = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0)) - _entropy(joint)
    return max(information, 0.0)


def nmi(table: Table) -> float:
    """Return the mutual information divided by the mean of the two entropies, in [0, 1]."""
    normaliser = _mean_entropy(table)
    return min(mutual_information(table) / normaliser, 1.0) if normaliser > 0 else 1.0


def ami(table: Table) -> float:
    """Return the mutual information corrected for chance: 0 in expectation, 1 when equal.

    (MI - E[MI]) / (mean entropy - E[MI]). Information Theoretic Measures for Clusterings
    Comparison (Vinh, Epps, Bailey, 2010), equation 13 with the arithmetic mean.
    """
    if table.shape[0] == table.shape[1] and np.count_nonzero(table) == len(table):
        return 1.0
    if 1 in table.shape:
        return 0.0
    expected = float(expected_mutual_information(table, table.sum()))
    gap = _mean_entropy(table) - expected
    # the gap vanishes if every point is its own cluster: no agreement is above chance
    return (mutual_information(table) - expected) / gap if abs(gap) > 1e-12 else 0.0


def ari(table: Table) -> float:
    """Return the Rand index corrected for chance: 0 in expectation, 1 when equal.

    Comparing Partitions (Hubert, Arabie, 1985), equation 5.
    """
    agreeing = _pairs(table)
    rows, columns = _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    pairs = _pairs(table.sum())
    expected = rows * columns / pairs if pairs > 0 else 0.0
    gap = (rows + columns) / 2 - expected
    return (agreeing - expected) / gap if gap > 0 else 1.0


_TABLE_METRICS: dict[str, Callable[[Table], float]] = {
    "hungarian": hungarian,
    "majority": majority,
    "nmi": nmi,
    "ami": ami,
    "ari": ari,
}

DIVERGED: Mapping[str, float] = dict.fromkeys((*_TABLE_METRICS, "gmvae"), 0.0) | {
    "calibration_error": 1.0
}
"""The metrics of a replica that diverged: the worst value of each."""


def audit(log_proba: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return all metrics of the agreement between clusters and labels, by name.

    log_proba has shape (N, K), labels (N,). The names are hungarian, majority, gmvae, nmi, ami,
    ari and calibration_error, which alone is better when lower. Return `DIVERGED` if log_proba
    has a NaN.
    """
    log_p = np.asarray(log_proba)
    if np.isnan(log_p).any():
        return dict(DIVERGED)
    table = contingency(log_p.argmax(axis=1), labels)
    metrics = {name: metric(table) for name, metric in _TABLE_METRICS.items()}
    return metrics | {
        "gmvae": exemplar_accuracy(log_p, labels),
        "calibration_error": calibration_error(log_p, labels),
    }


def _best_mapping(table: Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the one-to-one map with the most points."""
    rows, columns = linear_sum_assignment(table, maximize=True)
    return rows, columns


def _codes(values: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Return the values (N,) renumbered 0 … n - 1 in ascending order, and n."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise DataError(
            f"labels of shape {array.shape} cannot be compared: give one label per point"
        )
    unique, codes = np.unique(array, return_inverse=True)
    return codes.astype(np.int64, copy=False), len(unique)


def _entropy(probabilities: NDArray[np.float64]) -> float:
    return float(entr(probabilities).sum())


def _mean_entropy(table: Table) -> float:
    joint = table / table.sum()
    return (_entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))) / 2


def _pairs(counts: NDArray[np.int64]) -> float:
    """Return the number of pairs of points within each cell, summed over all cells."""
    n = counts.astype(np.float64)
    return float((n * (n - 1) / 2).sum())
