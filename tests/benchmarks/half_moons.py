"""EM-VAE on five half-moons from two starts: accuracies, curves and a picture.

    python -m tests.benchmarks.half_moons --out FOLDER [--iterations N]

Deep Generative Clustering with VAEs and Expectation-Maximization (2025), Figure 1 and the second
column of Table 1. Trains ten seeds at once from each start, which takes half an hour per start on
one core. Labels are used only for the accuracy (hungarian, on the training points). `score` and
`elbo` choose a seed without them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.benchmarks._common import argument_parser
from tuner.data import load
from tuner.evaluation.graph import NeighbourGraph, neighbour_graph
from tuner.evaluation.metrics import contingency, hungarian
from tuner.evaluation.separation import modularity
from tuner.models.em_vae.method import EMVAE, EMVAEClusterer, EMVAEConfig
from tuner.study.space import method_space

SEEDS = 10
STARTS = ("random", "kmeans")


def configuration(start: str, iterations: int | None) -> EMVAEConfig:
    """Return the settings of Table 1 for synthetic data, optionally with other iterations."""
    preset = dict(method_space("em_vae").presets["half_moons"]) | {"start": start}
    return EMVAEConfig.from_mapping(
        preset if iterations is None else preset | {"iterations": iterations}
    )


@dataclass
class Outcome:
    """Results of all seeds from one start, as arrays of shape (seeds,)."""

    accuracy: NDArray[np.float64]
    score: NDArray[np.float64]
    elbo: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return mean, sd, and the accuracy of the seeds chosen by score and by elbo."""
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


def outcome(model: EMVAE, x: Tensor, truth: NDArray[np.int64], graph: NeighbourGraph) -> Outcome:
    """Return the results of the replicas."""
    labels = model.predict_log_proba(x).argmax(-1).numpy()
    clusterers = [c for c in model.clusterers() if isinstance(c, EMVAEClusterer)]
    return Outcome(
        np.array([hungarian(contingency(row, truth)) for row in labels]),
        modularity(graph, labels[:, graph.index]),
        np.array([float(c.elbo(x).mean()) for c in clusterers]),
    )


def train(
    config: EMVAEConfig, x: Tensor, truth: NDArray[np.int64], graph: NeighbourGraph
) -> Iterator[tuple[int, EMVAE, Outcome]]:
    """Yield iteration, model and outcome about 40 times, including the end."""
    model = EMVAE(config, x.shape[1:], range(SEEDS))
    every = max(1, config.iterations // 40)
    for report in model.fit(x):
        iteration, rest = divmod(report.epoch, config.m_step_epochs)
        if rest == 0 and (iteration % every == 0 or iteration == config.iterations):
            yield iteration, model, outcome(model, x, truth, graph)


def picture(x: NDArray[np.float32], chosen: dict[str, EMVAEClusterer], file: Path) -> None:
    """Draw the data, and for each start the clusters and samples of the seed chosen by elbo."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(chosen), 3, figsize=(15, 3.2 * len(chosen)), squeeze=False)
    for row, (start, clusterer) in zip(axes, chosen.items(), strict=True):
        labels = clusterer.predict(torch.from_numpy(x)).numpy()
        row[0].scatter(*x.T, s=2, c="0.5")
        row[0].set_title("data")
        row[1].scatter(*x.T, s=2, c=labels, cmap="tab10", vmax=9)
        row[1].set_title(f"{start} start: clusters")
        for k in range(clusterer.config.n_components):
            samples = clusterer.sample(k, 400, seed=k).numpy()
            row[2].scatter(*samples.T, s=2, color=mpl.colormaps["tab10"](k))
        row[2].set_title(f"{start} start: 400 samples of each cluster")
        for axis in row:
            axis.set(xlim=1.2 * row[0].dataLim.intervalx, ylim=1.4 * row[0].dataLim.intervaly)
    figure.tight_layout()
    figure.savefig(file, dpi=80)


def run(iterations: int | None, folder: Path) -> None:
    """Train from every start, and write half_moons.json and half_moons.png during training."""
    data = load("half_moons")
    assert data.train_labels is not None
    x = data.train
    graph = neighbour_graph(x, fingerprint=data.fingerprint)
    results: dict[str, Any] = {}
    chosen: dict[str, EMVAEClusterer] = {}
    for start in STARTS:
        config = configuration(start, iterations)
        curve: list[dict[str, Any]] = []
        for iteration, model, reached in train(
            config, torch.from_numpy(x), data.train_labels, graph
        ):
            curve.append({"iteration": iteration, **reached.summary()})
            best = model.clusterers()[int(reached.elbo.argmax())]
            assert isinstance(best, EMVAEClusterer)
            chosen[start] = best
            results[start] = {"config": config.to_mapping(), "curve": curve}
            (folder / "half_moons.json").write_text(json.dumps(results, indent=1))
        end = curve[-1]
        print(
            f"{start:8} accuracy {end['accuracy_mean']:.3f} ± {end['accuracy_sd']:.3f}, "
            f"by score {end['chosen_by_score']:.3f}, by elbo {end['chosen_by_elbo']:.3f}",
            flush=True,
        )
        picture(x, chosen, folder / "half_moons.png")


def main() -> None:
    """Run from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    mpl.use("agg")
    args.out.mkdir(parents=True, exist_ok=True)
    run(args.iterations, args.out)


if __name__ == "__main__":
    main()
