"""The objective of a search: how well clusters match the neighbourhoods of the data.

The default objective is the separation of the clusters on one nearest-neighbour graph that all
trials and methods share. It needs no labels, is 0 for what cutting a structureless cloud earns,
and favours neither spherical nor balanced clusters. `modularity` was the default of earlier
versions. Only the objectives `acc`, `nmi`, `ami` and `ari` use labels.
"""

from dataclasses import dataclass, fields
from itertools import combinations
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from ..errors import UsageError, did_you_mean
from ..study.study import LABEL_OBJECTIVES, OBJECTIVES
from .graph import Floats, Integers, NeighbourGraph
from .metrics import ami, contingency
from .separation import LOWEST, modularity, separation

_AUDIT_NAMES = {"acc": "hungarian"}


def needs_labels(name: str) -> bool:
    """Return whether an objective uses labels, or raise UsageError if it does not exist."""
    if name not in OBJECTIVES:
        allowed, hint = ", ".join(OBJECTIVES), did_you_mean(name, OBJECTIVES)
        raise UsageError(f"unknown objective {name!r}{hint}; allowed: {allowed}")
    return name in LABEL_OBJECTIVES


def audit_name(name: str) -> str:
    """Return the name in `metrics.audit` of an objective that needs labels.

    `acc` is the accuracy of the hungarian protocol.
    """
    return _AUDIT_NAMES.get(name, name)


@final
@dataclass(frozen=True, eq=False)
class PartitionScores:
    """The scores of R replicas and the signs of a bad partition, each (R,).

    `score` is the separation, or the modularity on a graph without a reference. A replica that
    collapsed (fewer than two clusters in use) or diverged (a log-probability that is not finite)
    has `lowest_score`. Over the n points of the graph, `largest_mass` is the share of the largest
    cluster, `clusters_in_use` the number of clusters with a point, `effective_k` the exponential
    of the entropy of the shares, and `entropy` the mean entropy of an assignment in nats. These
    four are 0 for a diverged replica, which has no partition. `labels` (R, n) are the most
    probable clusters.
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

    def of(self, replicas: NDArray[np.int64]) -> Self:
        """Return the scores of some replicas, by index."""
        return type(self)(*(getattr(self, each.name)[replicas] for each in fields(self)))

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
        score=np.where(valid & ~collapsed, partition_score(graph, labels), lowest_score(graph)),
        collapsed=collapsed,
        diverged=diverged,
        largest_mass=valid * mass.max(axis=1),
        clusters_in_use=valid * in_use,
        effective_k=valid * np.exp(entr(mass).sum(axis=1)),
        entropy=entr(np.exp(log_p)).sum(axis=2).mean(axis=1).astype(np.float64),
        labels=labels,
    )


def partition_score(graph: NeighbourGraph, labels: ArrayLike) -> Floats:
    """Return the separation of clusters, (n,) or (R, n), or modularity without a reference."""
    measure = modularity if graph.reference is None else separation
    return measure(graph, labels)


def lowest_score(graph: NeighbourGraph) -> float:
    """Return the score of no clusters: that of a single cluster."""
    return 0.0 if graph.reference is None else LOWEST


def agreement(labels: ArrayLike) -> float:
    """Return the mean AMI over all pairs of partitions (R, n); 1 for a single partition."""
    pairs = list(combinations(np.asarray(labels), 2))
    return float(np.mean([ami(contingency(a, b)) for a, b in pairs])) if pairs else 1.0
