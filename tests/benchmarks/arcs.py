"""The GMVAE on the arcs of five circles, with and without the information constraint.

    python -m tests.benchmarks.arcs --out FOLDER [--epochs N] [--seeds N]

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (2016), section 4.1,
Figures 2 and 3: the paper's networks with batch norm added, seeds side by side. Labels serve the
accuracy (majority, over the training points) alone; the seed in the picture is the one with the
best modularity. About two minutes on one core.
"""

import argparse
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tuner.data import Dataset, load
from tuner.evaluation.metrics import contingency, majority
from tuner.evaluation.objective import modularity, neighbour_graph
from tuner.models.gmvae.method import GMVAE, GMVAEClusterer, GMVAEConfig

COLOURS = mpl.colormaps["tab10"]


def paper(epochs: int, *, threshold: float, warm_up: float) -> GMVAEConfig:
    """Return the synthetic networks of Appendix A; rate and batch suit 8,000 points."""
    return GMVAEConfig(
        n_components=5,
        code_size=2,
        style_size=2,
        hidden_size=120,
        prior_hidden_size=120,
        likelihood="gaussian",
        information_threshold=threshold,
        warm_up=warm_up,
        learning_rate=5e-3,
        batch_size=100,
        epochs=epochs,
    )


@dataclass
class Outcome:
    """What one setting reached: curves (epochs, seeds), accuracy and modularity (seeds,)."""

    config: GMVAEConfig
    chosen: GMVAEClusterer
    accuracy: NDArray[np.float64]
    score: NDArray[np.float64]
    z_prior: list[list[float]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the figures and the curve."""
        return {
            "config": self.config.to_mapping(),
            "accuracy_mean": float(self.accuracy.mean()),
            "accuracy_sd": float(self.accuracy.std(ddof=1)),
            "accuracy": self.accuracy.round(4).tolist(),
            "chosen_by_score": float(self.accuracy[self.score.argmax()]),
            "score": self.score.round(4).tolist(),
            "z_prior": self.z_prior,
        }


def train(config: GMVAEConfig, data: Dataset, *, seeds: int) -> Outcome:
    """Train the seeds side by side and return what they reached."""
    method, x = GMVAE(config, data.shape, range(seeds)), torch.from_numpy(data.train)
    curve = [report.metrics["z_prior"].tolist() for report in method.fit(x)]
    labels = method.predict_log_proba(x).argmax(dim=2).numpy()
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    score = modularity(graph, labels[:, graph.index])
    assert data.train_labels is not None
    accuracy = np.array([majority(contingency(row, data.train_labels)) for row in labels])
    chosen = method.clusterers()[int(score.argmax())]
    assert isinstance(chosen, GMVAEClusterer)
    return Outcome(config, chosen, accuracy, score, curve)


def picture(data: Dataset, outcomes: dict[str, Outcome], file: Path) -> None:
    """Draw, for each setting, clusters in data and latent space, new points, the z-prior term."""
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(len(outcomes), 4, figsize=(16, 4 * len(outcomes)), squeeze=False)
    x = torch.from_numpy(data.train)
    for axes, (name, outcome) in zip(grid, outcomes.items(), strict=True):
        labels, codes = outcome.chosen.predict(x).numpy(), outcome.chosen.embed(x).numpy()
        axes[0].scatter(*data.train.T, s=1, c=labels, cmap=COLOURS, vmin=0, vmax=9)
        axes[1].scatter(*codes.T, s=1, c=labels, cmap=COLOURS, vmin=0, vmax=9)
        _components(axes[1], outcome.chosen)
        for k in range(outcome.config.n_components):
            new = outcome.chosen.sample(k, 400, seed=k).numpy()
            axes[2].scatter(*new.T, s=1, color=COLOURS(k))
        _term(axes[3], outcome)
        titles = ("clusters", "codes, components at w = 0", "400 new points of each cluster")
        for axis, title in zip(axes, (*titles, "z-prior term, nats"), strict=True):
            axis.set_title(f"{name}: {title}", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _components(axis: Axes, clusterer: GMVAEClusterer) -> None:
    """Draw the ellipse of one standard deviation around every component's mean."""
    with torch.no_grad():
        style = torch.zeros(1, 1, clusterer.network.config.style_size)
        components = clusterer.network.components(style)
    turn = np.linspace(0, 2 * np.pi, 60)[:, None]
    circle = np.concatenate([np.cos(turn), np.sin(turn)], axis=1)
    for k in range(clusterer.network.config.n_components):
        mean, scale = components.mean[0, 0, k].numpy(), components.stddev[0, 0, k].numpy()
        axis.plot(*(mean + scale * circle).T, color=COLOURS(k), linewidth=2)


def _term(axis: Axes, outcome: Outcome) -> None:
    """Draw Eq. 6 over the epochs, seed by seed, and the threshold of Eq. 7."""
    axis.plot(1 + np.arange(len(outcome.z_prior)), -np.array(outcome.z_prior))
    threshold = outcome.config.information_threshold * math.log(outcome.config.n_components)
    if threshold > 0:
        axis.axhline(-threshold, color="black", linestyle=":")
    axis.set(ylim=(-1.05 * math.log(outcome.config.n_components), 0.05), xlabel="epoch")


def main() -> None:
    """Train the three settings, print their figures, write arcs.json and arcs.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    mpl.use("agg")
    asked.out.mkdir(parents=True, exist_ok=True)
    data, outcomes = load("arcs"), {}
    settings = {"bound": (0.0, 0.0), "constraint": (0.9, 0.0), "constraint, warm-up": (0.9, 0.5)}
    for name, (threshold, warm_up) in settings.items():
        config = paper(asked.epochs, threshold=threshold, warm_up=warm_up)
        outcomes[name] = train(config, data, seeds=asked.seeds)
        end = outcomes[name].summary()
        print(
            f"{name:20} accuracy {end['accuracy_mean']:.3f} ± {end['accuracy_sd']:.3f} "
            f"({', '.join(f'{value:.3f}' for value in end['accuracy'])}), "
            f"by score {end['chosen_by_score']:.3f}, z-prior term "
            f"{', '.join(f'{-value:.2f}' for value in end['z_prior'][-1])}",
            flush=True,
        )
    summaries = {name: outcome.summary() for name, outcome in outcomes.items()}
    (asked.out / "arcs.json").write_text(json.dumps(summaries, indent=1))
    picture(data, outcomes, asked.out / "arcs.png")


if __name__ == "__main__":
    main()
