"""The objective of a search: how well clusters match the neighbourhoods of the data.

The default objective, `score`, is the modularity of the clusters on one nearest-neighbour graph
that all trials and methods share. It needs no labels, is 0 for a single cluster and in
expectation for random ones, and does not favour spherical clusters. Only the objectives `acc`,
`nmi`, `ami` and `ari` use labels.
"""

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import entr
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ..errors import DataError, UsageError, did_you_mean
from .metrics import ami, contingency

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PCA_COMPONENTS = 50
NEIGHBOURS = 10
_LABEL_OBJECTIVES = {"acc": "hungarian", "nmi": "nmi", "ami": "ami", "ari": "ari"}


def objective_names() -> tuple[str, ...]:
    """Return the names of all objectives, the default first."""
    return ("score", "elbo", *_LABEL_OBJECTIVES)


def needs_labels(name: str) -> bool:
    """Return whether an objective uses labels, or raise UsageError if it does not exist."""
    if name not in objective_names():
        allowed = ", ".join(objective_names())
        hint = did_you_mean(name, objective_names())
        raise UsageError(f"unknown objective {name!r}{hint}; allowed: {allowed}")
    return name in _LABEL_OBJECTIVES


def audit_name(name: str) -> str:
    """Return the name in `metrics.audit` of an objective that needs labels.

    `acc` is the accuracy of the hungarian protocol.
    """
    return _LABEL_OBJECTIVES[name]


@final
@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Weighted nearest neighbours of n points, as arrays that are cheap to send.

    `index` (n,) are the indices of the points in the data, `neighbours` (n, k) are positions in
    `index`, and `weights` (n, k) are the Jaccard overlaps. An edge weighs the mean of its two
    directions; `degrees` (n,) are the sums of the edges at each point, `total` is their sum 2m.
    """

    index: Integers
    neighbours: NDArray[np.int32]
    weights: Floats
    degrees: Floats

    def __len__(self) -> int:
        return len(self.index)

    @property
    def total(self) -> float:
        """The sum of the degrees, 2m."""
        return float(self.degrees.sum())


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
    seed = int.from_bytes(hashlib.sha256(fingerprint.encode()).digest())
    return np.sort(np.random.default_rng(seed).choice(n, limit, replace=False))


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


def modularity(graph: NeighbourGraph, labels: ArrayLike) -> Floats:
    """Return the modularity of clusters: shape () for labels (n,), (R,) for labels (R, n).

    Q = Σ_c [ e_cc / 2m - (a_c / 2m)² ], with e_cc the edge ends inside cluster c, a_c all its edge
    ends and 2m the total; labels are 0 … K - 1. Finding and Evaluating Community Structure in
    Networks (Newman, Girvan, 2004), equation 5.
    """
    clusters = np.asarray(labels)
    stacked = clusters.reshape(-1, len(graph))
    inside = np.array(
        [
            (row[graph.neighbours] == row[:, None]).ravel() @ graph.weights.ravel()
            for row in stacked
        ]
    )
    ends = np.array([(np.bincount(row, graph.degrees) ** 2).sum() for row in stacked])
    q = inside / graph.total - ends / graph.total**2
    return q.reshape(clusters.shape[:-1])


@final
@dataclass(frozen=True, eq=False)
class PartitionScores:
    """The scores of R replicas and the signs of a bad partition, each (R,).

    `score` is the modularity, or 0 for a replica that collapsed (fewer than two clusters in use)
    or diverged (a log-probability that is not finite). Over the n points of the graph,
    `largest_mass` is the share of the largest cluster, `clusters_in_use` the number of clusters
    with a point, `effective_k` the exponential of the entropy of the shares, and `entropy` the
    mean entropy of an assignment in nats. These four are 0 for a diverged replica, which has no
    partition. `labels` (R, n) are the most probable clusters.
    """

    score: Floats
    collapsed: NDArray[np.bool_]
    diverged: NDArray[np.bool_]
    largest_mass: Floats
    clusters_in_use: Integers
    effective_k: Floats
    entropy: Floats
    labels: Integers

    @property
    def value(self) -> float:
        """The mean score of the replicas."""
        return float(self.score.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the score over replicas; 0 for a single one."""
        return float(self.score.std(ddof=1)) if len(self.score) > 1 else 0.0

    @property
    def best(self) -> int:
        """The replica with the highest score."""
        return int(self.score.argmax())

    def agreement(self) -> float:
        """Return the mean AMI between replicas."""
        return agreement(self.labels)

    def metrics(self) -> dict[str, float]:
        """Return value, sd, best score and the means over replicas of the rest, by name."""
        return {
            "value": self.value,
            "sd": self.sd,
            "best": float(self.score.max()),
            "collapsed": float(self.collapsed.mean()),
            "diverged": float(self.diverged.mean()),
            "largest_mass": float(self.largest_mass.mean()),
            "clusters_in_use": float(self.clusters_in_use.mean()),
            "effective_k": float(self.effective_k.mean()),
            "entropy": float(self.entropy.mean()),
        }


def evaluate(graph: NeighbourGraph, log_proba: ArrayLike) -> PartitionScores:
    """Return the scores of log-probabilities (R, n, K) of the points of a graph, in its order."""
    log_p = np.asarray(log_proba)
    if log_p.ndim != 3 or log_p.shape[1] != len(graph):
        raise ValueError(f"log_proba has shape {log_p.shape}: it must be (R, {len(graph)}, K)")
    diverged = ~np.isfinite(log_p).all(axis=(1, 2))
    log_p = np.where(diverged[:, None, None], -np.inf, log_p)
    labels = log_p.argmax(axis=2)
    K = log_p.shape[2]
    counts = np.array([np.bincount(row, minlength=K) for row in labels])
    in_use = (counts > 0).sum(axis=1)
    collapsed = ~diverged & (in_use < 2)
    mass = counts / len(graph)
    valid = ~diverged
    return PartitionScores(
        score=np.where(valid & ~collapsed, modularity(graph, labels), 0.0),
        collapsed=collapsed,
        diverged=diverged,
        largest_mass=valid * mass.max(axis=1),
        clusters_in_use=valid * in_use,
        effective_k=valid * np.exp(entr(mass).sum(axis=1)),
        entropy=entr(np.exp(log_p)).sum(axis=2).mean(axis=1).astype(np.float64),
        labels=labels,
    )


def agreement(labels: ArrayLike) -> float:
    """Return the mean AMI over all pairs of partitions (R, n); 1 for a single partition."""
    pairs = list(combinations(np.asarray(labels), 2))
    return float(np.mean([ami(contingency(a, b)) for a, b in pairs])) if pairs else 1.0


def louvain(graph: NeighbourGraph, *, seed: int) -> Integers:
    """Return the communities of a graph, (n,), found by maximising the score itself.

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
