"""Comparison of challenger and champion on the test split, with its sampling noise.

Two models are compared on many draws of half the test points, each with its own neighbour graph.
A half drawn without replacement varies around the whole as much as the whole varies around the
population, so the spread over draws measures the noise of the test split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from ..errors import DataError, PromotionRefusedError
from .graph import (
    Floats,
    Integers,
    Reference,
    jaccard_graph,
    neighbour_count,
    reduce_dimensions,
    sample_indices,
)
from .objective import partition_score
from .structureless import reference

MAX_POINTS = 10_000
MIN_POINTS = 25
MIN_SCORED = 6
MIN_WINS = 0.95
MIN_DIFFERENCE = 0.005
_ROUNDING = 1e-9

_CANDIDATES = 80  # nearest neighbours kept per point: ten of them are almost surely in each half


@final
@dataclass(frozen=True)
class Verdict:
    """The result of a comparison over paired draws.

    `wins` is the share of draws in which the challenger scores higher, `mean_difference` the mean
    of its score minus the score of the champion.
    """

    wins: float
    mean_difference: float
    promoted: bool


def compare(
    challenger_labels: ArrayLike,
    champion_labels: ArrayLike,
    x_test: NDArray[np.float32],
    *,
    fingerprint: str,
    objective: str = "separation",
    draws: int = 200,
) -> Verdict:
    """Return whether the challenger is better: in 95 % of the draws and by 0.005 on average.

    Both labels (N,) are the clusters of the scaled test points x_test (N, *shape). The draws
    depend only on the fingerprint of the data. Raise PromotionRefusedError for fewer than 25
    points.
    """
    if len(x_test) < MIN_POINTS:
        raise PromotionRefusedError(
            f"{len(x_test)} test points are too few to compare two models: give at least "
            f"{MIN_POINTS}"
        )
    scores = scores_over_draws(
        [challenger_labels, champion_labels],
        x_test,
        fingerprint=fingerprint,
        objective=objective,
        draws=draws,
    )
    difference = scores[:, 0] - scores[:, 1]
    wins = float((difference > _ROUNDING).mean())
    mean = float(difference.mean())
    return Verdict(
        wins=wins,
        mean_difference=mean,
        promoted=wins >= MIN_WINS and mean >= MIN_DIFFERENCE,
    )


def interval(
    labels: ArrayLike,
    x_test: NDArray[np.float32],
    *,
    score: float,
    fingerprint: str,
    objective: str = "separation",
    draws: int = 200,
) -> tuple[float, float] | None:
    """Return a 95 % interval of the score of labels (N,) from its spread over the same draws.

    A graph of half the points gives lower scores, so the spread is centred on the `score` that
    the labels have on all points: score + quantile − mean, for 2.5 % and 97.5 %. Returns None for
    fewer than 6 points, half of which have no graph.
    """
    if len(x_test) < MIN_SCORED:
        return None
    scores = scores_over_draws(
        [labels], x_test, fingerprint=fingerprint, objective=objective, draws=draws
    )[:, 0]
    low, high = np.quantile(scores, [0.025, 0.975]) - scores.mean()
    return float(score + low), float(score + high)


def scores_over_draws(
    partitions: Sequence[ArrayLike],
    x_test: NDArray[np.float32],
    *,
    fingerprint: str,
    objective: str = "separation",
    draws: int = 200,
) -> Floats:
    """Return the score of each partition (N,) in each draw of half the points, (draws, P).

    The score is the separation, or the modularity if that is the objective. At most 10,000 points
    are used. The draws share one reference, since they have equally many points.
    """
    if len(x_test) < MIN_SCORED:
        raise DataError(
            f"{len(x_test)} test points are too few for a score: give at least {MIN_SCORED}"
        )
    labels = np.stack([_renumbered(partition, len(x_test)) for partition in partitions])
    index = sample_indices(len(x_test), fingerprint, MAX_POINTS)
    labels, points = labels[:, index], reduce_dimensions(x_test[index])
    nearest = _neighbours(points, min(_CANDIDATES, len(points) - 1))
    halves = [
        sample_indices(len(points), f"{fingerprint}/{i}", len(points) // 2) for i in range(draws)
    ]
    clouds = None
    if objective != "modularity":
        clouds = reference(points, halves[0], fingerprint=f"{fingerprint}/half")
    return np.stack([_score(points, nearest, half, labels[:, half], clouds) for half in halves])


def _score(
    points: NDArray[np.float32],
    nearest: Integers,
    half: Integers,
    labels: Integers,
    clouds: Reference | None,
) -> Floats:
    """Return the score of partitions (P, n) on the graph of the n points of a half, (P,)."""
    k = neighbour_count(len(half))
    graph = jaccard_graph(_neighbours_within(points, nearest, half, k), half)
    return partition_score(graph.with_reference(clouds), labels)


def _neighbours_within(
    points: NDArray[np.float32], nearest: Integers, half: Integers, k: int
) -> Integers:
    """Return the k nearest neighbours within a half of its points, as positions in the half.

    They are the first k of the neighbours of a point, `nearest` (N, candidates), that are in the
    half. If a point has fewer, distances are computed again.
    """
    position = np.full(len(points), -1)
    position[half] = np.arange(len(half))
    found = position[nearest[half]]
    inside = found >= 0
    rank = inside.cumsum(axis=1)
    if (rank[:, -1] < k).any():
        return _neighbours(points[half], k)
    return found[inside & (rank <= k)].reshape(-1, k)


def _neighbours(points: NDArray[np.float32], k: int) -> Integers:
    """Return the k nearest neighbours of each point, nearest first, (n, k)."""
    search = NearestNeighbors(n_neighbors=k).fit(points)
    nearest: Integers = search.kneighbors(return_distance=False)
    return nearest


def _renumbered(labels: ArrayLike, n: int) -> Integers:
    """Return the clusters of n points renumbered from 0 without gaps, or raise DataError."""
    values = np.asarray(labels)
    if values.shape != (n,):
        raise DataError(
            f"clusters of shape {values.shape} do not match {n} points: give one per point"
        )
    return np.unique(values, return_inverse=True)[1]
