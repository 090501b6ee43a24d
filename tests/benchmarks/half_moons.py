"""EM-VAE on five half-moons, at the paper's schedule: a table, a curve and a picture.

    python -m tests.benchmarks.half_moons --out FOLDER [--iterations N] [--weight W] [--rate LR]

Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Figure 1 and the second
column of Table 1. Ten seeds train side by side from each start. Labels serve the accuracy
(hungarian, over the training points) alone: `score` and `elbo` choose a seed without them. The
paper's setting takes about half an hour per start on one core.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data import Dataset, load
from tuner.metrics import contingency, hungarian
from tuner.models.em_vae import EMVAE, EMVAEClusterer, EMVAEConfig
from tuner.objective import NeighbourGraph, modularity, neighbour_graph

SEEDS = 10
STARTS = ("random", "kmeans")


def paper(iterations: int, start: str, *, weight: float, rate: float) -> EMVAEConfig:
    """Return Table 1's settings for synthetic data; weight and rate are 5 and 1e-4 there."""
    return EMVAEConfig(
        n_components=5,
        iterations=iterations,
        m_step_epochs=5,
        latent_size=2,
        hidden_size=100,
        dropout=0.0,
        reconstruction_weight=weight,
        learning_rate=rate,
        decay_every=0,
        start=start,
        output="identity",
    )


@dataclass
class Outcome:
    """What the seeds of one start reached, all arrays of shape (seeds,)."""

    accuracy: NDArray[np.float64]
    score: NDArray[np.float64]
    elbo: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return mean and sd, and what each way of choosing a seed without labels gets."""
        return {
            "accuracy_mean": float(self.accuracy.mean()),
            "accuracy_sd": float(self.accuracy.std(ddof=1)),
            "accuracy_best": float(self.accuracy.max()),
            "chosen_by_score": float(self.accuracy[self.score.argmax()]),
            "chosen_by_elbo": float(self.accuracy[self.elbo.argmax()]),
            "accuracy": self.accuracy.round(4).tolist(),
            "score": self.score.round(4).tolist(),
            "elbo": self.elbo.round(4).tolist(),
        }


def outcome(model: EMVAE, data: Dataset, graph: NeighbourGraph) -> Outcome:
    """Return what the replicas have reached."""
    x = torch.from_numpy(data.train)
    labels = model.predict_log_proba(x).argmax(-1).numpy()
    clusterers = [c for c in model.clusterers() if isinstance(c, EMVAEClusterer)]
    assert data.train_labels is not None
    return Outcome(
        np.array([hungarian(contingency(row, data.train_labels)) for row in labels]),
        modularity(graph, labels[:, graph.index]),
        np.array([float(c.elbo(x).mean()) for c in clusterers]),
    )


def train(
    config: EMVAEConfig, data: Dataset, graph: NeighbourGraph, *, points: int = 40
) -> Iterator[tuple[int, EMVAE, Outcome]]:
    """Yield iteration, model and outcome about `points` times, and at the end."""
    model = EMVAE(config, data.shape, range(SEEDS))
    every = max(1, config.iterations // points)
    for report in model.fit(torch.from_numpy(data.train)):
        iteration, rest = divmod(report.epoch, config.m_step_epochs)
        if rest == 0 and (iteration % every == 0 or iteration == config.iterations):
            yield iteration, model, outcome(model, data, graph)


def picture(data: Dataset, chosen: dict[str, EMVAEClusterer], file: Path) -> None:
    """Draw the data, and per start the clusters and new points of the seed chosen by score."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(chosen), 3, figsize=(15, 3.2 * len(chosen)), squeeze=False)
    for row, (start, clusterer) in zip(axes, chosen.items(), strict=True):
        labels = clusterer.predict(torch.from_numpy(data.train)).numpy()
        row[0].scatter(*data.train.T, s=2, c="0.5")
        row[0].set_title("data")
        row[1].scatter(*data.train.T, s=2, c=labels, cmap="tab10", vmax=9)
        row[1].set_title(f"{start} start: clusters")
        for k in range(clusterer.config.n_components):
            new = clusterer.sample(k, 400, seed=k).numpy()
            row[2].scatter(*new.T, s=2, color=mpl.colormaps["tab10"](k))
        row[2].set_title(f"{start} start: 400 new points of each cluster")
        for axis in row:
            axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4))
    figure.tight_layout()
    figure.savefig(file, dpi=80)


def main() -> None:
    """Run every start and write half_moons.json, curve included, and half_moons.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--weight", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=1e-4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    mpl.use("agg")
    data = load("half_moons")
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    asked.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    chosen: dict[str, EMVAEClusterer] = {}
    for start in STARTS:
        config = paper(asked.iterations, start, weight=asked.weight, rate=asked.rate)
        curve: list[dict[str, Any]] = []
        for iteration, model, reached in train(config, data, graph):
            curve.append({"iteration": iteration, **reached.summary()})
            best = model.clusterers()[int(reached.score.argmax())]
            assert isinstance(best, EMVAEClusterer)
            chosen[start] = best
            results[start] = {"config": config.to_mapping(), "curve": curve}
            (asked.out / "half_moons.json").write_text(json.dumps(results, indent=1))
        end = curve[-1]
        print(
            f"{start:8} accuracy {end['accuracy_mean']:.3f} ± {end['accuracy_sd']:.3f}, "
            f"by score {end['chosen_by_score']:.3f}, by elbo {end['chosen_by_elbo']:.3f}",
            flush=True,
        )
        picture(data, chosen, asked.out / "half_moons.png")


if __name__ == "__main__":
    main()
