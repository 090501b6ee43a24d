"""Which rule chooses best without labels: candidate scores on classical partitions.

    python -m tests.benchmarks.choice [--families A,B] [--seeds 0,1] [--out FILE]

For every member of a family, partitions are made by k-means, diagonal Gaussian mixtures, Ward,
average and single linkage and at random, with 2 to 40 clusters. Every rule then picks one of them
without labels. The figure is the AMI of the best partition less that of the pick, so 0 is perfect.
For structureless data it is the highest separation of any partition, which should stay near 0.

The candidates, for a partition with shares a_c of the edge ends, modularity Q and effective number
of clusters K_eff = exp(entropy of its masses):

- Q, Finding and Evaluating Community Structure in Networks (Newman, Girvan, 2004), equation 5;
- r = Q / (1 - Σ a_c²), the assortativity coefficient, Mixing Patterns in Networks (Newman, 2003),
  equation 2;
- S = (r - r₀) / (1 - r₀), with r₀ the r that k-means with equal K_eff reaches on structureless
  data: Gaussian with the data's covariance, and uniform in the box of its principal axes;
- S · (1 - 1/K_eff)^0.1, which discounts trivial splits;
- among the partitions with S within a tolerance of the best, the one with the largest entropy.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from tests.benchmarks._common import argument_parser
from tests.benchmarks._families import CLUSTERED, STRUCTURELESS, member
from tuner.evaluation.metrics import ami, contingency
from tuner.evaluation.objective import (
    NeighbourGraph,
    modularity,
    neighbour_graph,
    reduce_dimensions,
)

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40)
REFERENCE_SIZES = (2, 3, 4, 6, 8, 12, 20, 32, 48)
TOLERANCES = (0.03, 0.05, 0.07, 0.1)
MAX_LINKAGE = 2000  # points, since its memory grows with their square


@dataclass(frozen=True)
class Figures:
    """What the rules look at: one value per partition."""

    q: Floats
    r: Floats
    s: Floats
    entropy: Floats

    @property
    def discounted(self) -> Floats:
        """S · (1 - 1/K_eff)^0.1, and S itself where that is negative."""
        return np.where(self.s > 0, self.s * (1 - np.exp(-self.entropy)) ** 0.1, self.s)

    def tolerant(self, tolerance: float) -> int:
        """Return the partition with the largest entropy among those with S near the best."""
        near = self.s >= self.s.max() - tolerance
        return int(np.where(near, self.entropy, -np.inf).argmax())


def rules() -> dict[str, Callable[[Figures], int]]:
    """Return the candidate rules by name."""
    plain: dict[str, Callable[[Figures], int]] = {
        "Q": lambda f: int(f.q.argmax()),
        "r": lambda f: int(f.r.argmax()),
        "S": lambda f: int(f.s.argmax()),
        "S discounted": lambda f: int(f.discounted.argmax()),
    }
    tolerant = {
        f"tolerance {t:g}": (lambda f, t=t: f.tolerant(t))  # type: ignore[misc]
        for t in TOLERANCES
    }
    return plain | tolerant


def partitions(x: NDArray[np.float32], seed: int) -> Iterator[Labels]:
    """Yield classical partitions of points (N, F)."""
    rng = np.random.default_rng(seed)
    for k in (k for k in SIZES if k < len(x) // 2):
        yield KMeans(k, n_init=3, random_state=seed).fit_predict(x).astype(np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(k, covariance_type="diag", reg_covar=1e-4, random_state=seed)
            yield mixture.fit_predict(x).astype(np.int64)
        if len(x) <= MAX_LINKAGE:
            for linkage in ("ward", "average", "single"):
                linked = AgglomerativeClustering(k, linkage=linkage).fit_predict(x)
                yield linked.astype(np.int64)
        yield rng.integers(k, size=len(x))


def assortativity(graph: NeighbourGraph, labels: Labels) -> tuple[float, float]:
    """Return Q and r of a partition; r is 0 where one cluster has all edges."""
    q = float(modularity(graph, labels))
    shares = np.bincount(labels, graph.degrees) / graph.total
    rest = 1 - float((shares**2).sum())
    return q, q / rest if rest > 1e-12 else 0.0


def entropy(labels: Labels) -> float:
    """Return the entropy of the clusters' masses, in nats."""
    return float(entr(np.bincount(labels) / len(labels)).sum())


def structureless(x: NDArray[np.float32], seed: int) -> list[NDArray[np.float32]]:
    """Return as many points without clusters: Gaussian, and uniform in the principal axes."""
    rng = np.random.default_rng(seed)
    centred = x - x.mean(axis=0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    sd = scale / np.sqrt(len(x))
    normal = rng.normal(size=(len(x), len(sd))) * sd
    along = centred @ axes.T
    uniform = rng.uniform(along.min(axis=0), along.max(axis=0), size=along.shape)
    return [(cloud @ axes).astype(np.float32) for cloud in (normal, uniform)]


def reference(x: NDArray[np.float32], seed: int) -> Callable[[float], float]:
    """Return r₀ as a function of the entropy: the highest over the structureless clouds."""
    curves = []
    for cloud in structureless(x, seed):
        graph = neighbour_graph(cloud, fingerprint="reference")
        found = []
        for k in (k for k in REFERENCE_SIZES if k < len(cloud) // 2):
            labels = KMeans(k, n_init=1, random_state=seed).fit_predict(cloud).astype(np.int64)
            found.append((entropy(labels), assortativity(graph, labels)[1]))
        curves.append(np.array(sorted(found)))
    return lambda h: max(float(np.interp(h, curve[:, 0], curve[:, 1])) for curve in curves)


def figures(
    graph: NeighbourGraph, found: Sequence[Labels], r0: Callable[[float], float]
) -> Figures:
    """Return the figures of partitions of the points of a graph."""
    pairs = np.array([assortativity(graph, labels) for labels in found])
    entropies = np.array([entropy(labels) for labels in found])
    base = np.array([r0(h) for h in entropies])
    s = np.where(entropies > 0, (pairs[:, 1] - base) / (1 - base), 0.0)
    return Figures(pairs[:, 0], pairs[:, 1], s, entropies)


def measure(family: str, seed: int) -> dict[str, Any]:
    """Return what every rule loses on one member of a family, and the K that it picks."""
    x, y = member(family, seed)
    graph = neighbour_graph(x, fingerprint=f"{family}/{seed}")
    points, classes = reduce_dimensions(x[graph.index]), y[graph.index]
    found = list(partitions(points, seed))
    figs = figures(graph, found, reference(points, seed))
    if family in STRUCTURELESS:
        return {"family": family, "seed": seed, "highest_separation": float(figs.s.max())}
    quality = np.array([ami(contingency(labels, classes)) for labels in found])
    picked = {name: rule(figs) for name, rule in rules().items()}
    return {
        "family": family,
        "seed": seed,
        "classes": len(np.unique(classes)),
        "best_ami": float(quality.max()),
        "separation": float(figs.s.max()),
        "regret": {name: float(quality.max() - quality[i]) for name, i in picked.items()},
        "k": {name: len(np.unique(found[i])) for name, i in picked.items()},
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the regret of every rule by family, its mean and worst, and the structureless data."""
    names = list(rules())
    clustered = [row for row in rows if "regret" in row]
    print("family           classes best  " + " ".join(f"{name:>14}" for name in names))
    for row in clustered:
        cells = [f"{row['regret'][n]:.3f} (K={row['k'][n]})" for n in names]
        head = f"{row['family']:16} {row['classes']:7} {row['best_ami']:.2f}  "
        print(head + " ".join(f"{cell:>14}" for cell in cells), flush=True)
    if clustered:
        for title, reduce in (("mean", np.mean), ("worst", np.max)):
            values = [reduce([row["regret"][n] for row in clustered]) for n in names]
            print(f"{title:31}" + " ".join(f"{value:14.3f}" for value in values))
        lowest = min(clustered, key=lambda row: row["separation"])
        print(f"lowest separation with clusters: {lowest['separation']:.3f}, {lowest['family']}")
    for row in (row for row in rows if "highest_separation" in row):
        print(f"{row['family']:16} no clusters, separation {row['highest_separation']:.3f}")


def main() -> None:
    """Measure the families and print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--families", default=",".join([*CLUSTERED, *STRUCTURELESS]))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = [
        measure(family, int(seed))
        for family in args.families.split(",")
        for seed in args.seeds.split(",")
    ]
    show(rows)
    if args.out is not None:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
