"""Which rule chooses best without labels: candidate scores on stored and on classical partitions.

    python -m tests.benchmarks.choice families [--families A,B] [--seeds 0,1] [--out FILE]
    python -m tests.benchmarks.choice clouds [--seeds 0,1] [--out FILE]
    python -m tests.benchmarks.choice methods --store FOLDER [--out FILE]

`families`: for every member of a family of data, partitions are made by k-means, Gaussian mixtures
with diagonal and full covariances, Ward, average and single linkage and at random, with 2 to 40
clusters. Every rule then picks one of them without labels. The figure is the AMI of the best
partition less that of the pick, so 0 is perfect.

`clouds`: the test for clusters, for the partition with the highest separation of every member of
the structureless families, and of the clustered ones. A false verdict is marked.

`methods`: the same for partitions of this package's methods, which `partitions.py` has stored:
random configurations, three seeds each. The figures are the rank correlation of the mean score of
a configuration with its mean quality, accuracy for equal K and else AMI, and the quality of the
best partition less that of the pick. Then the rules that choose among finalists.

The candidates, for a partition with shares a_c of the edge ends, modularity Q, entropy H of its
masses and K_eff = exp(H):

- Q, Finding and Evaluating Community Structure in Networks (Newman, Girvan, 2004), equation 5;
- r = Q / (1 - Σ a_c²), the assortativity coefficient, Mixing Patterns in Networks (Newman, 2003),
  equation 2;
- S = (r - r₀) / (1 - r₀), with r₀ the r that structureless clouds reach at equal entropy;
- S^β = S · (1 - 1/K_eff)^β; β = 1/2 is the separation by which searches choose;
- S - t: among the partitions with S within a tolerance of the best, that with the largest entropy.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from tests.benchmarks._common import argument_parser
from tests.benchmarks._families import CLUSTERED, STRUCTURELESS, member
from tests.benchmarks._finalists import finalist_table
from tests.benchmarks.partitions import stored, subset
from tuner.evaluation.graph import NeighbourGraph, reduce_dimensions
from tuner.evaluation.metrics import ami, contingency, hungarian
from tuner.evaluation.separation import assortativity, mass_entropy, modularity, separation
from tuner.evaluation.structureless import cloud_test, scored_graph

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40)
BETAS = (0.1, 0.3, 0.7, 1.0)
TOLERANCES = (0.05, 0.07)
MAX_LINKAGE = 2000  # points, since its memory grows with their square
DATASETS = ("digits", "mnist", "fashion_mnist")


@dataclass(frozen=True)
class Figures:
    """What the rules look at: one value per partition."""

    q: Floats
    r: Floats
    s: Floats
    entropy: Floats
    separation: Floats

    def discounted(self, beta: float) -> Floats:
        """Return S · (1 - 1/K_eff)^β, and S / 10 where that is negative."""
        discounted = self.s * (1 - np.exp(-self.entropy)) ** beta
        return np.where(self.s > 0, discounted, np.maximum(self.s, -1) / 10)

    def tolerant(self, tolerance: float) -> Floats:
        """Return the entropy of the partitions with S near the best, and -1 for others."""
        return np.where(self.s >= self.s.max() - tolerance, self.entropy, -1.0)

    def scores(self) -> dict[str, Floats]:
        """Return the value that each rule maximises, by its name."""
        named = {"Q": self.q, "r": self.r, "S": self.s}
        named |= {f"S^{beta:g}": self.discounted(beta) for beta in BETAS}
        named["separation"] = self.separation
        return named | {f"S - {t:g}": self.tolerant(t) for t in TOLERANCES}


def figures(graph: NeighbourGraph, labels: Labels) -> Figures:
    """Return the figures of partitions (P, n) of the points of a graph with a reference."""
    assert graph.reference is not None
    r, entropy = assortativity(graph, labels), mass_entropy(labels)
    r0 = graph.reference(entropy)
    s = np.where(entropy > 0, (r - r0) / (1 - r0), 0.0)
    return Figures(modularity(graph, labels), r, s, entropy, separation(graph, labels))


def partitions(x: NDArray[np.float32], seed: int) -> Iterator[Labels]:
    """Yield classical partitions of points (N, F)."""
    rng = np.random.default_rng(seed)
    for k in (k for k in SIZES if k < len(x) // 2):
        yield KMeans(k, n_init=3, random_state=seed).fit_predict(x)
        for covariance in ("diag", "full"):
            mixture = GaussianMixture(
                k, covariance_type=covariance, reg_covar=1e-4, random_state=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                yield mixture.fit_predict(x)
        if len(x) <= MAX_LINKAGE:
            for linkage in ("ward", "average", "single"):
                yield AgglomerativeClustering(k, linkage=linkage).fit_predict(x)
        yield rng.integers(k, size=len(x))


@dataclass(frozen=True)
class Member:
    """One member of a family with its classical partitions (P, n)."""

    x: NDArray[np.float32]
    classes: Labels
    found: Labels
    figures: Figures


def prepared(family: str, seed: int) -> Member:
    """Return a member of a family, with partitions of the points of its graph and their scores."""
    x, y = member(family, seed)
    graph = scored_graph(x, fingerprint=f"{family}/{seed}")
    points = reduce_dimensions(x[graph.index])
    found = np.stack([renumbered(labels) for labels in partitions(points, seed)])
    return Member(x[graph.index], y[graph.index], found, figures(graph, found))


def renumbered(labels: Labels) -> Labels:
    """Return clusters numbered from 0 without gaps."""
    numbers: Labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers


def measure_family(family: str, seed: int) -> dict[str, Any]:
    """Return what every rule loses on one member of a family, and the K that it picks."""
    one = prepared(family, seed)
    quality = np.array([ami(contingency(labels, one.classes)) for labels in one.found])
    picked = {name: int(score.argmax()) for name, score in one.figures.scores().items()}
    return {
        "family": f"{family} {seed}",
        "classes": len(np.unique(one.classes)),
        "best": float(quality.max()),
        "regret": {name: float(quality.max() - quality[i]) for name, i in picked.items()},
        "k": {name: len(np.unique(one.found[i])) for name, i in picked.items()},
    }


def measure_cloud(family: str, seed: int) -> dict[str, Any]:
    """Return the verdict on the best separated partition of one member of a family."""
    one = prepared(family, seed)
    best = one.found[int(one.figures.separation.argmax())]
    test = cloud_test(one.x, fingerprint=f"{family}/{seed}")
    structure = test.structure(best[test.index])
    wrong = structure.clustered is not (family in CLUSTERED)
    return {"family": f"{family} {seed}", "false": wrong, **structure.to_mapping()}


def measure_methods(store: Path, dataset: str, mode: str) -> dict[str, Any]:
    """Return rank correlation and regret of every rule on stored partitions of one dataset."""
    data = subset(dataset, len(stored(store, dataset, mode)[0]["labels"][0]))
    assert data.train_labels is not None
    classes = data.train_labels
    graph = scored_graph(data.train, fingerprint=data.fingerprint)
    rows = stored(store, dataset, mode)
    found = np.concatenate([[renumbered(labels) for labels in row["labels"]] for row in rows])
    tables = [contingency(labels, classes) for labels in found]
    information = np.array([ami(table) for table in tables])
    accuracy = np.array([hungarian(table) for table in tables])
    quality = accuracy if mode == "fixed" else information
    replicas = len(rows[0]["labels"])
    result: dict[str, Any] = {"dataset": dataset, "mode": mode, "configurations": len(rows)}
    result |= {"methods": len({row["method"] for row in rows}), "rules": {}}
    for name, score in figures(graph, found).scores().items():
        i, means = int(score.argmax()), score.reshape(-1, replicas).mean(axis=1)
        ranks = spearmanr(means, quality.reshape(-1, replicas).mean(axis=1)).statistic
        result["rules"][name] = {
            "rank": float(ranks),
            "accuracy": float(accuracy[i]),
            "accuracy_regret": float(accuracy.max() - accuracy[i]),
            "ami": float(information[i]),
            "ami_regret": float(information.max() - information[i]),
            "k": len(np.unique(found[i])),
        }
    return result


def show_families(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the regret of every rule by member, its mean and worst."""
    names = list(rows[0]["regret"])
    print(f"{'family':16} classes best  " + " ".join(f"{name:>11}" for name in names))
    for row in rows:
        cells = [f"{row['regret'][n]:.3f} ({row['k'][n]})" for n in names]
        head = f"{row['family']:16} {row['classes']:7} {row['best']:.2f}  "
        print(head + " ".join(f"{cell:>11}" for cell in cells))
    for title, reduce in (("mean", np.mean), ("worst", np.max)):
        values = [reduce([row["regret"][n] for row in rows]) for n in names]
        print(f"{title:31}" + " ".join(f"{value:11.3f}" for value in values))


def show_clouds(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the verdicts, and how many are false."""
    for row in rows:
        mark = "FALSE" if row["false"] else ""
        verdict = "clusters" if row["clustered"] else "none"
        print(
            f"{row['family']:16} {verdict:9} p {row['p_value']:.2f}, excess "
            f"{row['excess']:6.3f} over {row['cloud']:7} {mark}"
        )
    print(f"{sum(row['false'] for row in rows)} of {len(rows)} verdicts are false")


def show_methods(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures of every rule by dataset and mode."""
    for row in rows:
        print(
            f"{row['dataset']}, K {row['mode']}: {row['configurations']} configurations of "
            f"{row['methods']} methods"
        )
        for name, rule in row["rules"].items():
            print(
                f"  {name:11} rank {rule['rank']:.3f}  accuracy {rule['accuracy']:.3f} "
                f"(-{rule['accuracy_regret']:.3f})  AMI {rule['ami']:.3f} "
                f"(-{rule['ami_regret']:.3f})  K {rule['k']}"
            )


def families(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and show the families."""
    chosen = (args.families or ",".join(CLUSTERED)).split(",")
    rows = [measure_family(family, seed) for family in chosen for seed in args.seeds]
    show_families(rows)
    return rows


def clouds(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and show the verdicts."""
    chosen = (args.families or ",".join(STRUCTURELESS)).split(",")
    rows = [measure_cloud(family, seed) for family in chosen for seed in args.seeds]
    show_clouds(rows)
    return rows


def methods(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and show the stored partitions and the rules for finalists."""
    pairs = [(dataset, mode) for dataset in DATASETS for mode in ("fixed", "searched")]
    pairs = [pair for pair in pairs if stored(args.store, *pair)]
    rows = [measure_methods(args.store, *pair) for pair in pairs]
    show_methods(rows)
    print(finalist_table(args.store, pairs))
    return rows


PARTS: Mapping[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "families": families,
    "clouds": clouds,
    "methods": methods,
}


def main() -> None:
    """Measure one part and print its table."""
    parser = argument_parser(__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--families")
    parser.add_argument("--seeds", type=lambda t: [int(s) for s in t.split(",")], default=[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.part == "methods" and args.store is None:
        parser.error("methods needs --store, the folder that partitions.py has filled")
    rows = PARTS[args.part](args)
    if args.out is not None:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
