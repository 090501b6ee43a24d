"""Clouds of points without clusters, drawn with as much of the geometry of data as can be had."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors, kneighbors_graph

from .graph import NEIGHBOURS, Floats

Points = NDArray[np.float32]
Cloud = Callable[[], Points]

_MAX_UNROLLED = 1_000
_MAX_FLAT = 10  # dimensions
_MAX_CENTRES = 300
_QUANTILES = (0.01, 0.99)
_DIMENSIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def kinds(points: Points, rng: np.random.Generator) -> Mapping[str, Cloud]:
    """Return the kinds of cloud that data with clusters have to beat, by name.

    Points with ten or more dimensions locally lie on no manifold that so few could show, so they
    have no flat one.
    """
    found = {"normal": normal(points, rng), "box": box(points, rng)}
    dimension = local_dimension(points)
    if dimension < _MAX_FLAT:
        found["flat"] = box(_unrolled(points, round(dimension), rng), rng)
    return found


def normal(points: Points, rng: np.random.Generator) -> Cloud:
    """Return draws from the Gaussian with the covariance of the points (n, F)."""
    n, (sd, _) = len(points), _principal_axes(points)
    return lambda: (rng.normal(size=(n, len(sd))) * sd).astype(np.float32)


def box(points: Points, rng: np.random.Generator) -> Cloud:
    """Return draws, uniform along the principal axes of the points between two quantiles."""
    _, along = _principal_axes(points)
    low, high = np.quantile(along, _QUANTILES, axis=0)
    return lambda: rng.uniform(low, high, size=along.shape).astype(np.float32)


def _principal_axes(points: Points) -> tuple[Floats, Floats]:
    """Return the standard deviations along the principal axes, and the points (n, F) on them."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    return scale / np.sqrt(len(points)), centred @ axes.T


def _unrolled(points: Points, dimensions: int, rng: np.random.Generator) -> Points:
    """Return points (n, F) unrolled to some dimensions, at most F.

    At most 1,000 are unrolled, and repeated, since only their quantiles are used.
    """
    dimensions = min(points.shape[1], dimensions)
    some = points[np.sort(rng.permutation(len(points))[:_MAX_UNROLLED])]
    squared = _geodesic_distances(some) ** 2
    means = squared.mean(axis=0)
    inner = -(squared - means - means[:, None] + means.mean()) / 2
    n = len(some)
    scale, axes = eigh(inner, subset_by_index=(n - dimensions, n - 1))
    unrolled = axes * np.sqrt(scale.clip(0))
    repeated: Points = unrolled[np.resize(np.arange(n), len(points))].astype(np.float32)
    return repeated


def _geodesic_distances(points: Points) -> Floats:
    """Return the distances between points (n, F) along their neighbour graph, (n, n).

    Clusters far apart are joined by the minimum spanning tree.
    """
    distance = np.maximum(cdist(points, points), 1e-12)  # 0 would be no edge
    nearest = kneighbors_graph(points, min(NEIGHBOURS, len(points) - 1), mode="distance")
    graph = csr_array(nearest).maximum(csr_array(minimum_spanning_tree(distance)))
    along: Floats = shortest_path(graph, directed=False)
    return along


def local_dimension(points: Points) -> float:
    """Return the dimension of points (n, F) at the scale of 10 neighbours, from 1 to 32.

    1/d = mean of log(distance to the last neighbour / distance to another): Maximum Likelihood
    Estimation of Intrinsic Dimension (Levina, Bickel, 2004), averaged as in the comments by MacKay
    and Ghahramani (2005). The estimate is low near borders, so it is calibrated on as many points
    of unit cubes.
    """
    rng = np.random.default_rng(0)
    cubes = [_raw_dimension(rng.random((len(points), d))) for d in _DIMENSIONS]
    return float(np.interp(_raw_dimension(points), np.maximum.accumulate(cubes), _DIMENSIONS))


def _raw_dimension(points: NDArray[Any]) -> float:
    k = min(NEIGHBOURS, len(points) - 1)
    distance = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()[0]
    distance = np.maximum(distance, 1e-12)
    inverse = np.log(distance[:, -1:] / distance[:, :-1]).sum(axis=1) / max(1, k - 2)
    distinct = inverse[inverse > 0]
    return 1 / float(distinct.mean()) if len(distinct) else 1.0


def inverse_dimension(points: Points, sizes: Floats, rng: np.random.Generator) -> Floats:
    """Return the inverse dimension of points (n, F) at clusters of these sizes (G,), shape (G,).

    It is the mean growth of log radius with log number of neighbours, from a quarter to half of
    the points of a cluster.
    """
    n = len(points)
    some = points[rng.permutation(n)[:_MAX_CENTRES]]
    radius = np.log(np.maximum(np.sort(cdist(some, points), axis=1), 1e-12)).mean(axis=0)
    half = np.clip((sizes / 2).round(), 4, n - 1).astype(int)
    quarter = np.clip((sizes / 4).round(), 2, half - 1).astype(int)
    inverse: Floats = (radius[half] - radius[quarter]) / np.log(half / quarter)
    return inverse
