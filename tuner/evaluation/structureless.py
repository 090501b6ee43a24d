"""Structureless clouds like the data: what cutting them earns, and whether data are any better.

A cloud has as many points as the data and as much of their geometry as can be had without
clusters. There are four kinds:

- `normal` is Gaussian with the covariance of the data;
- `box` is uniform along their principal axes;
- `cube` is uniform in as many dimensions as the data have at the size of a cluster, for data on
  curves and surfaces, whose pieces are cheaper to cut than those of a box around them;
- `flat` is uniform along the axes of the manifold that the data lie on, unrolled by A Global
  Geometric Framework for Nonlinear Dimensionality Reduction (Tenenbaum, de Silva, Langford, 2000).

The first three are the reference of scores, since flat follows outliers. The test for clusters
uses normal, box and, in few dimensions, flat; the data have to beat all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans

from .clouds import Points, box, inverse_dimension, kinds, normal
from .graph import (
    Floats,
    Integers,
    NeighbourGraph,
    Reference,
    generator,
    neighbour_graph,
    reduce_dimensions,
    sample_indices,
)
from .separation import assortativity, mass_entropy

DRAWS = 19
MAX_P_VALUE = 0.05
MIN_EXCESS = 1 / 3
MIN_POINTS = 40

_ENTROPIES = np.log([1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 32, 40, 56, 80, 112])
_SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 32, 40, 56, 80, 112)
_MIN_CLUSTER = 4  # points per cluster, at least, in the partitions of a cloud
_MAX_LINKED = 2_000  # points or centroids that are linked, since memory grows with their square
_MAX_TESTED = 1_000
_REFERENCE_RANGE = (0.01, 0.999)  # a handful of points can reach 0 and 1


@final
@dataclass(frozen=True, kw_only=True)
class Structure:
    """Whether any partition is separated better than the best ones of structureless clouds.

    `p_value` is that of the kind of cloud that comes closest, `cloud`, over `draws` draws of each
    kind, and `excess` how far the best partition is above its mean, 1 being perfect separation.
    `clustered` and `p_value` are None where there are too few points for a test.
    """

    clustered: bool | None
    p_value: float | None
    excess: float | None = None
    cloud: str | None = None
    draws: int = 0

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def scored_graph(
    x: NDArray[np.float32], *, fingerprint: str, objective: str = "separation"
) -> NeighbourGraph:
    """Return the neighbour graph of the scaled points x, with the reference that scores need.

    With the objective modularity it has none.
    """
    graph = neighbour_graph(x, fingerprint=fingerprint)
    if objective == "modularity":
        return graph
    return graph.with_reference(reference(x, graph.index, fingerprint=fingerprint))


def reference(x: NDArray[np.float32], index: Integers, *, fingerprint: str) -> Reference | None:
    """Return what structureless clouds reach on graphs like that of the points x[index].

    The clouds are normal, box and cube, of as many points as `index` has; the hardest of them
    counts at every number of clusters. The draws depend on the fingerprint alone. Returns None for
    fewer than 8 points, which have no two clusters of 4.
    """
    points = reduce_dimensions(x[index])
    if len(points) < 2 * _MIN_CLUSTER:
        return None
    rng = generator(f"{fingerprint}/reference")
    draws = 3 if len(points) <= _MAX_LINKED else 1
    clouds = (normal(points, rng), box(points, rng))
    means = [np.mean([best_cuts(cloud()) for _ in range(draws)], axis=0) for cloud in clouds]
    highest = np.maximum.reduce([*means, _cube_cuts(points, rng)])
    return Reference(_ENTROPIES, highest.clip(*_REFERENCE_RANGE))


def _cube_cuts(points: Points, rng: np.random.Generator) -> Floats:
    """Return the best cuts of cubes with the dimension of the points at every number of clusters.

    They are interpolated between those of one, two and three dimensions, and 0 for more.
    """
    sizes = len(points) * np.exp(-_ENTROPIES)
    cubes = [rng.random((len(points), d), dtype=np.float32) for d in (3, 2, 1)]
    known = np.stack([inverse_dimension(cube, sizes, rng) for cube in cubes])
    wanted = inverse_dimension(points, sizes, rng)
    if (wanted <= known[0]).all():
        return np.zeros(len(_ENTROPIES))
    cuts = np.stack([best_cuts(cube) for cube in cubes])
    pairs = zip(wanted, known.T, cuts.T, strict=True)
    return np.array([np.interp(w, at, r) if w > at[0] else 0.0 for w, at, r in pairs])


@final
@dataclass(frozen=True, eq=False)
class CloudTest:
    """Points (n, F) of a dataset, their best cuts (G,), and those of clouds like them.

    `index` (n,) are the indices of the points in the data. `clouds` are the best cuts (draws, G)
    by kind of cloud. They take seconds and do not depend on a partition.
    """

    index: Integers
    points: Points
    cuts: Floats
    clouds: Mapping[str, Floats]

    def structure(self, labels: ArrayLike) -> Structure:
        """Return whether the points have clusters, such as these labels (n,).

        For every kind of cloud and draw b, T_b is the highest excess (r - r₀) / (1 - r₀) of a
        partition of it over r₀, the mean over draws at equal entropy, and T that of the points, by
        the same cuts or by the labels. p = (1 + #{T_b ≥ T}) / (1 + draws), Bootstrap Methods and
        Their Application (Davison, Hinkley, 1997), equation 4.11. There are clusters if the
        largest p is at most 0.05 and the smallest T at least 1/3.
        """
        if not self.clouds:
            return Structure(clustered=None, p_value=None)
        clusters = np.unique(np.asarray(labels), return_inverse=True)[1]
        graph = neighbour_graph(self.points, fingerprint="points")
        entropy = np.append(_ENTROPIES, mass_entropy(clusters))
        r = np.append(self.cuts, assortativity(graph, clusters))
        results = {kind: _p_value(cuts, entropy, r) for kind, cuts in self.clouds.items()}
        p_value = max(p for p, _ in results.values())
        kind, (_, excess) = min(results.items(), key=lambda item: item[1][1])
        return Structure(
            clustered=p_value <= MAX_P_VALUE and excess >= MIN_EXCESS,
            p_value=p_value,
            excess=excess,
            cloud=kind,
            draws=len(self.clouds[kind]),
        )


def cloud_test(x: NDArray[np.float32], *, fingerprint: str, draws: int = DRAWS) -> CloudTest:
    """Return the test for clusters in the scaled points x (N, *shape).

    At most 1,000 points are used, sampled by the fingerprint. Fewer than 40 are too few for it.
    """
    index = sample_indices(len(x), f"{fingerprint}/structure", _MAX_TESTED)
    points = reduce_dimensions(x[index])
    if len(points) < MIN_POINTS:
        return CloudTest(index, points, np.zeros(0), {})
    rng = generator(f"{fingerprint}/structure")
    clouds = {
        kind: np.stack([best_cuts(cloud()) for _ in range(draws)])
        for kind, cloud in kinds(points, rng).items()
    }
    return CloudTest(index, points, best_cuts(points), clouds)


def _p_value(cuts: Floats, entropy: ArrayLike, r: ArrayLike) -> tuple[float, float]:
    """Return the p-value and the excess over the cuts (draws, G) of clouds.

    They are those of the best of P partitions with this entropy and assortativity, each (P,).
    """
    r0 = cuts.mean(axis=0)
    highest = ((cuts - r0) / (1 - r0)).max(axis=1)
    mean = np.interp(np.asarray(entropy), _ENTROPIES, r0)
    excess = float(((np.asarray(r) - mean) / (1 - mean)).max())
    return (1 + int((highest >= excess).sum())) / (1 + len(cuts)), excess


def best_cuts(cloud: Points) -> Floats:
    """Return the highest assortativity of a partition of a cloud (n, F), by entropy, (G,).

    Partitions are those of k-means, Ward and average linkage. A partition into more even or more
    clusters is harder, so that its assortativity also counts for lower entropies. It is 0 for a
    cloud of equal points.
    """
    most = min(max(2, len(cloud) // _MIN_CLUSTER), len(np.unique(cloud, axis=0)))
    if most < 2:
        return np.zeros(len(_ENTROPIES))
    graph, trees = neighbour_graph(cloud, fingerprint="cloud"), _trees(cloud)
    found = []
    for k in (k for k in _SIZES if k <= most):
        kmeans = KMeans(k, n_init=1, random_state=0).fit_predict(cloud)
        labels = [kmeans, *(tree(k) for tree in trees)]
        found += [(mass_entropy(each), assortativity(graph, each)) for each in labels]
    entropy, r = np.array(found).T
    even_enough = entropy[:, None] >= np.minimum(_ENTROPIES, entropy.max())
    best: Floats = np.where(even_enough, r[:, None], -np.inf).max(axis=0)
    return best


def _trees(cloud: Points) -> list[Callable[[int], Integers]]:
    """Return functions from K to the clusters (n,) of a cloud by Ward and by average linkage."""
    cells, points = np.arange(len(cloud)), cloud
    if len(cloud) > _MAX_LINKED:
        kmeans = KMeans(_MAX_LINKED // 2, n_init=1, max_iter=10, init="random", random_state=0)
        cells, points = kmeans.fit_predict(cloud), kmeans.cluster_centers_
    linked = [linkage(points, method) for method in ("ward", "average")]
    return [lambda k, tree=tree: (fcluster(tree, k, "maxclust") - 1)[cells] for tree in linked]  # type: ignore[misc]
