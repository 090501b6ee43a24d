"""Rules that choose one replica among finalists, compared on stored partitions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.partitions import stored, subset
from tuner.data import Dataset
from tuner.evaluation.metrics import ami, contingency, hungarian
from tuner.evaluation.separation import separation
from tuner.evaluation.structureless import scored_graph

Floats = NDArray[np.float64]
FINALISTS = 3


@dataclass(frozen=True)
class Finalists:
    """Scores of the replicas (C, R) of configurations on training and test points.

    `quality` (C, R) is that on the test points, by labels.
    """

    train: Floats
    test: Floats
    quality: Floats

    def some(self, chosen: Sequence[int]) -> "Finalists":
        """Return some of the configurations."""
        index = list(chosen)
        return Finalists(self.train[index], self.test[index], self.quality[index])


Rule = Callable[[Finalists], tuple[int, int]]


def _highest(values: Floats) -> tuple[int, int]:
    c, r = np.unravel_index(values.argmax(), values.shape)
    return int(c), int(r)


def _shrunk(f: Finalists, weight: float) -> tuple[int, int]:
    """Take the highest training score, after moving each towards the mean of its configuration."""
    mean = f.train.mean(axis=1, keepdims=True)
    return _highest(mean + weight * (f.train - mean))


def _by_mean(f: Finalists, values: Floats) -> tuple[int, int]:
    """Take the configuration with the highest mean, and its replica with the best training."""
    c = int(values.mean(axis=1).argmax())
    return c, int(f.train[c].argmax())


def _lower_bound(f: Finalists) -> tuple[int, int]:
    """Take the configuration with the highest mean less its standard error."""
    error = f.train.std(axis=1, ddof=1) / np.sqrt(f.train.shape[1])
    c = int((f.train.mean(axis=1) - error).argmax())
    return c, int(f.train[c].argmax())


def _tolerant(f: Finalists, tolerance: float) -> tuple[int, int]:
    """Among replicas near the best, take that of the configuration with the highest mean."""
    near = f.train >= f.train.max() - tolerance
    means = np.where(near, f.train.mean(axis=1, keepdims=True), -np.inf)
    c = int(means.max(axis=1).argmax())
    return c, int(f.train[c].argmax())


RULES: dict[str, Rule] = {
    "highest training score": lambda f: _highest(f.train),
    "mean training score first": lambda f: _by_mean(f, f.train),
    "mean test score first": lambda f: _by_mean(f, f.test),
    "mean less standard error": _lower_bound,
    "half-way to the mean": lambda f: _shrunk(f, 0.5),
    "tolerance 0.01": lambda f: _tolerant(f, 0.01),
    "tolerance 0.03": lambda f: _tolerant(f, 0.03),
    "training and test score": lambda f: _highest(0.8 * f.train + 0.2 * f.test),
}


def finalists_of(store: Path, dataset: str, mode: str, data: Dataset) -> Finalists:
    """Return the scores and the quality of stored finalists."""
    assert data.test_labels is not None
    train = scored_graph(data.train, fingerprint=data.fingerprint)
    test = scored_graph(data.test, fingerprint=f"{data.fingerprint}/test")
    measure = hungarian if mode == "fixed" else ami
    rows = stored(store, dataset, f"{mode}-finalist")
    return Finalists(
        np.stack([separation(train, row["labels"]) for row in rows]),
        np.stack([separation(test, row["test"][:, test.index]) for row in rows]),
        np.array(
            [
                [measure(contingency(_numbered(r), data.test_labels)) for r in row["test"]]
                for row in rows
            ]
        ),
    )


def finalist_table(store: Path, pairs: Sequence[tuple[str, str]]) -> str:
    """Return what each rule loses on average over all triples of finalists, by dataset."""
    lines = [
        "finalists: mean regret of the chosen replica, and the share of triples with the best"
    ]
    losses: dict[str, list[float]] = {name: [] for name in RULES}
    for dataset, mode in pairs:
        points = len(stored(store, dataset, mode)[0]["labels"][0])
        found = finalists_of(store, dataset, mode, subset(dataset, points))
        triples = list(combinations(range(len(found.train)), FINALISTS))
        for name, rule in RULES.items():
            each = [_loss(found.some(triple), rule) for triple in triples]
            losses[name].append(float(np.mean(each)))
    lines += [f"{'':28}" + " ".join(f"{f'{d[:7]} {m[:5]}':>14}" for d, m in pairs)]
    for name, values in losses.items():
        cells = " ".join(f"{value:14.3f}" for value in values)
        lines.append(f"{name:28}{cells} {np.mean(values):8.4f}")
    return "\n".join(lines)


def _loss(finalists: Finalists, rule: Rule) -> float:
    return float(finalists.quality.max() - finalists.quality[rule(finalists)])


def _numbered(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1]
    return numbers
