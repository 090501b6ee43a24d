"""How well the clusters of a partition are separated on a neighbour graph.

A partition with shares a_c of the edge ends, a share e_cc of them inside cluster c, and masses
with entropy H has

    Q = Σ_c (e_cc - a_c²)                              modularity
    r = Q / (1 - Σ_c a_c²)                             assortativity
    S = (r - r₀(H)) / (1 - r₀(H))                      excess over structureless clouds
    separation = S · √(1 - e^-H) if r > r₀, else (r / r₀ - 1) / 10

Modularity pays for cutting one large cluster into equal pieces, since it is at most 1 - Σ a_c².
Assortativity is 1 for every partition without an edge between clusters, but also rewards cutting
any cloud of points. r₀ takes away what cutting a structureless cloud earns, and the last factor, 1
for many clusters and 0 for a single one, discounts partitions that split off a few points. Below
r₀ the score falls to -0.1 for random clusters, so that one bad replica does not outweigh good ones
in a mean. The figures behind each step are in docs/choosing.md.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from .graph import Floats, NeighbourGraph

DISCOUNT = 0.5
LOWEST = -0.1


def modularity(graph: NeighbourGraph, labels: ArrayLike) -> Floats:
    """Return the modularity of clusters: shape () for labels (n,), (R,) for labels (R, n).

    Q = Σ_c [ e_cc / 2m - (a_c / 2m)² ], with e_cc the edge ends inside cluster c, a_c all its edge
    ends and 2m the total; labels are 0 … K - 1. Finding and Evaluating Community Structure in
    Networks (Newman, Girvan, 2004), equation 5.
    """
    inside, ends = _shares(graph, labels)
    return inside - ends


def assortativity(graph: NeighbourGraph, labels: ArrayLike) -> Floats:
    """Return the assortativity of clusters: shape () for labels (n,), (R,) for labels (R, n).

    r = Q / (1 - Σ_c (a_c / 2m)²), or 0 where one cluster has all edges; 1 if no edge joins two
    clusters. Mixing Patterns in Networks (Newman, 2003), equation 2.
    """
    inside, ends = _shares(graph, labels)
    room = 1 - ends
    return np.where(room > 1e-12, (inside - ends) / np.maximum(room, 1e-12), 0.0)


def separation(graph: NeighbourGraph, labels: ArrayLike) -> Floats:
    """Return the separation of clusters: shape () for labels (n,), (R,) for labels (R, n).

    It is 1 for many clusters without an edge between them, 0 for the best partition of a
    structureless cloud, and -0.1 for random clusters or a single one. The graph must have a
    reference.
    """
    if graph.reference is None:
        raise ValueError("the graph has no reference")
    entropy = mass_entropy(labels)
    r, r0 = assortativity(graph, labels), graph.reference(entropy)
    above = (r - r0) / (1 - r0) * discount(entropy)
    below = np.maximum(LOWEST, LOWEST * (1 - r / r0))
    return np.where(r > r0, above, below)


def discount(entropy: ArrayLike) -> Floats:
    """Return the factor √(1 - e^-H) for partitions of few effective clusters."""
    return np.asarray((1 - np.exp(-np.asarray(entropy))) ** DISCOUNT)


def mass_entropy(labels: ArrayLike) -> Floats:
    """Return the entropy of the masses of clusters in nats, shape () or (R,) for (R, n)."""
    clusters = np.asarray(labels)
    stacked = clusters.reshape(-1, clusters.shape[-1])
    n = stacked.shape[1]
    entropy = np.array([entr(np.bincount(row) / n).sum() for row in stacked])
    return entropy.reshape(clusters.shape[:-1])


def _shares(graph: NeighbourGraph, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return Σ_c e_cc and Σ_c a_c² as shares of all edge ends, each () or (R,)."""
    clusters = np.asarray(labels)
    stacked = clusters.reshape(-1, len(graph))
    inside = np.array(
        [
            (row[graph.neighbours] == row[:, None]).ravel() @ graph.weights.ravel()
            for row in stacked
        ]
    )
    ends = np.array([(np.bincount(row, graph.degrees) ** 2).sum() for row in stacked])
    shape = clusters.shape[:-1]
    return (inside / graph.total).reshape(shape), (ends / graph.total**2).reshape(shape)
