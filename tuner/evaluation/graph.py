"""The weighted nearest-neighbour graph on which all partitions of a dataset are scored."""

import hashlib
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ..errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PCA_COMPONENTS = 50
NEIGHBOURS = 10


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """What structureless clouds reach on graphs of as many points, by number of clusters.

    `assortativity` (G,) is that of the best partitions found whose masses have the `entropy` (G,),
    in nats and ascending. See `structureless.reference`.
    """

    entropy: Floats
    assortativity: Floats

    def __call__(self, entropy: ArrayLike) -> Floats:
        """Return the assortativity at any entropy, shape () or (R,)."""
        at = np.asarray(entropy, dtype=np.float64)
        return np.asarray(np.interp(at, self.entropy, self.assortativity))


@final
@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Weighted nearest neighbours of n points, as arrays that are cheap to send.

    `index` (n,) are the indices of the points in the data, `neighbours` (n, k) are positions in
    `index`, and `weights` (n, k) are the Jaccard overlaps. An edge weighs the mean of its two
    directions; `degrees` (n,) are the sums of the edges at each point, `total` is their sum 2m.
    A graph with a `reference` scores by separation, one without by modularity.
    """

    index: Integers
    neighbours: NDArray[np.int32]
    weights: Floats
    degrees: Floats
    reference: Reference | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def total(self) -> float:
        """The sum of the degrees, 2m."""
        return float(self.degrees.sum())

    def with_reference(self, reference: Reference | None) -> Self:
        """Return the graph with another reference."""
        return replace(self, reference=reference)


def neighbour_graph(
    x: NDArray[np.float32], *, fingerprint: str, k: int | None = None, limit: int = 20_000
) -> NeighbourGraph:
    """Return the graph of the k nearest neighbours of the scaled points x, shape (N, *shape).

    At most `limit` points are used, sampled by the fingerprint of the data alone. Neighbours are
    searched in the space of x, or in its first 50 principal components if it has more dimensions.
    k is `neighbour_count` of the points used, unless it is given. Raises DataError for fewer than
    3 points.
    """
    if len(x) < 3:
        raise DataError(f"{len(x)} points are too few for a neighbour graph: give at least 3")
    index = sample_indices(len(x), fingerprint, limit)
    points = reduce_dimensions(x[index])
    count = neighbour_count(len(points)) if k is None else min(k, len(points) - 1)
    search = NearestNeighbors(n_neighbors=count).fit(points)
    return jaccard_graph(search.kneighbors(return_distance=False), index)


def neighbour_count(n: int) -> int:
    """Return how many neighbours a graph of n points has: 10, or a quarter of n if that is fewer.

    With more, the graph of a few points is nearly complete, and every partition of a complete
    graph has a modularity of at most 0.
    """
    return max(1, min(NEIGHBOURS, n // 4))


def sample_indices(n: int, fingerprint: str, limit: int) -> Integers:
    """Return at most `limit` of n positions, ascending, that depend only on the fingerprint."""
    if n <= limit:
        return np.arange(n)
    return np.sort(generator(fingerprint).choice(n, limit, replace=False))


def generator(fingerprint: str) -> np.random.Generator:
    """Return a random generator that depends only on the fingerprint."""
    seed = int.from_bytes(hashlib.sha256(fingerprint.encode()).digest())
    return np.random.default_rng(seed)


def reduce_dimensions(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return x as (n, F), or its first 50 principal components (n, 50) if F is larger."""
    flat = x.reshape(len(x), -1)
    if flat.shape[1] <= PCA_COMPONENTS:
        return flat
    pca = PCA(min(PCA_COMPONENTS, len(flat)), random_state=0)
    components: NDArray[np.float32] = pca.fit_transform(flat)
    return components


def jaccard_graph(neighbours: ArrayLike, index: Integers) -> NeighbourGraph:
    """Return the graph of neighbour lists (n, k) with edges weighted by the overlap of the lists.

    w_ij = |N_i ∩ N_j| / |N_i ∪ N_j|, with N_i the list of i and i itself. An edge weighs the mean
    of its two directions. Data-Driven Phenotypic Dissection of AML Reveals Progenitor-like Cells
    (Levine et al., 2015), the graph of PhenoGraph.
    """
    lists = np.asarray(neighbours, dtype=np.int32)
    n, k = lists.shape
    closed = np.column_stack([np.arange(n, dtype=np.int32), lists])
    shared = np.empty((n, k))
    for start in range(0, n, 1024):  # in chunks, to bound the memory
        chunk = slice(start, start + 1024)
        theirs, ours = closed[lists[chunk]], closed[chunk, None, :]
        shared[chunk] = sum((theirs == ours[..., [i]]).sum(axis=2) for i in range(k + 1))
    weights = shared / (2 * (k + 1) - shared)
    incoming = np.bincount(lists.ravel(), weights.ravel(), minlength=n)
    return NeighbourGraph(index, lists, weights, (weights.sum(axis=1) + incoming) / 2)


def louvain(graph: NeighbourGraph, *, seed: int) -> Integers:
    """Return the communities of a graph, (n,), found by maximising modularity.

    They are a reference for scores: one above theirs is not evidence of better clusters. Fast
    Unfolding of Communities in Large Networks (Blondel et al., 2008).
    """
    import networkx  # takes a quarter of a second, and only this baseline needs it

    n, k = graph.neighbours.shape
    ends = np.arange(0, n * k + 1, k)
    directed = csr_array((graph.weights.ravel(), graph.neighbours.ravel(), ends), shape=(n, n))
    network = networkx.from_scipy_sparse_array((directed + directed.T) / 2)
    labels = np.empty(n, dtype=np.int64)
    for cluster, members in enumerate(networkx.community.louvain_communities(network, seed=seed)):
        labels[list(members)] = cluster
    return labels
