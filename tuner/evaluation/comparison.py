"""Which model becomes champion: the one that is better on held-out points beyond the noise.

Two models are compared on many draws of half the test points, each with a neighbour graph of its
own. A half drawn without replacement varies as much around the whole as the whole does around
what it was drawn from, so the spread over draws is the noise of the test set itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from ..errors import DataError, PromotionRefusedError
from .objective import Floats, Integers, jaccard_graph, modularity, projected, sampled

NEIGHBOURS = 10
LIMIT = 10_000
LEAST_POINTS = 25
LEAST_WINS = 0.95
LEAST_DIFFERENCE = 0.005

_REACH = 80  # neighbours kept of each point, so that ten lie in a half all but surely


@final
@dataclass(frozen=True)
class Verdict:
    """How a challenger did against the champion over paired draws.

    `wins` is the share of draws in which it scores higher, `mean_difference` the mean of its
    score less the champion's.
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
    draws: int = 200,
) -> Verdict:
    """Return whether the challenger is better: in 95 % of the draws, and by 0.005 in the mean.

    Both labels (N,) are the clusters of the scaled test points x_test (N, *shape). The draws
    depend on the fingerprint of the data alone. Raises PromotionRefusedError for fewer than 25
    points.
    """
    if len(x_test) < LEAST_POINTS:
        raise PromotionRefusedError(
            f"{len(x_test)} test points cannot tell two models apart: give at least {LEAST_POINTS}"
        )
    scores = scores_over_draws(
        [challenger_labels, champion_labels], x_test, fingerprint=fingerprint, draws=draws
    )
    difference = scores[:, 0] - scores[:, 1]
    wins, mean = float((difference > 0).mean()), float(difference.mean())
    return Verdict(
        wins=wins,
        mean_difference=mean,
        promoted=wins >= LEAST_WINS and mean >= LEAST_DIFFERENCE,
    )


def interval(
    labels: ArrayLike,
    x_test: NDArray[np.float32],
    *,
    score: float,
    fingerprint: str,
    draws: int = 200,
) -> tuple[float, float]:
    """Return a 95 % interval of the score of labels (N,): its spread over the same draws.

    A graph of half the points gives lower scores, so the spread is laid around the `score` that
    the labels have on all of them: score + quantile − mean, for 2.5 % and 97.5 %.
    """
    over = scores_over_draws([labels], x_test, fingerprint=fingerprint, draws=draws)[:, 0]
    low, high = np.quantile(over, [0.025, 0.975]) - over.mean()
    return float(score + low), float(score + high)


def scores_over_draws(
    partitions: Sequence[ArrayLike],
    x_test: NDArray[np.float32],
    *,
    fingerprint: str,
    draws: int = 200,
) -> Floats:
    """Return the modularity of each partition (N,) in each draw of half the points, (draws, P).

    At most 10,000 points take part. The graph has 10 neighbours, or a quarter of a draw where
    that is fewer, as modularity says nothing on a graph that is nearly complete.
    """
    if len(x_test) < 6:
        raise DataError(f"{len(x_test)} test points have no score: give at least 6")
    labels = np.stack([_checked(partition, len(x_test)) for partition in partitions])
    index = sampled(len(x_test), fingerprint, LIMIT)
    labels, points = labels[:, index], projected(x_test[index])
    nearest = _neighbours(points, min(_REACH, len(points) - 1))
    halves = (sampled(len(points), f"{fingerprint}/{i}", len(points) // 2) for i in range(draws))
    return np.stack([_score(points, nearest, half, labels[:, half]) for half in halves])


def _score(
    points: NDArray[np.float32], nearest: Integers, half: Integers, labels: Integers
) -> Floats:
    """Return the modularity of partitions (P, n) on the graph of the n points of a half."""
    k = min(NEIGHBOURS, max(len(half) // 4, 1))
    return modularity(jaccard_graph(_neighbours_within(points, nearest, half, k), half), labels)


def _neighbours_within(
    points: NDArray[np.float32], nearest: Integers, half: Integers, k: int
) -> Integers:
    """Return the k nearest neighbours of the points of a half within it, as positions in it.

    They are the first k of a point's neighbours overall, `nearest` (N, reach), that are in the
    half; where one has fewer, distances are computed anew.
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
    """Return the k nearest neighbours of every point, nearest first, (n, k)."""
    search = NearestNeighbors(n_neighbors=k).fit(points)
    nearest: Integers = search.kneighbors(return_distance=False)
    return nearest


def _checked(labels: ArrayLike, n: int) -> Integers:
    """Return the clusters of n points as numbers from 0 without gaps."""
    values = np.asarray(labels)
    if values.shape != (n,):
        raise DataError(
            f"clusters of shape {values.shape} do not belong to {n} points: give one per point"
        )
    return np.unique(values, return_inverse=True)[1]
