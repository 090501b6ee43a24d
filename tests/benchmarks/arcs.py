"""GMVAE on five arcs of circles, with and without the information constraint.

    python -m tests.benchmarks.arcs --out FOLDER [--epochs N] [--seeds N]

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (2016), section 4.1,
Figures 2 and 3, with the paper's networks plus batch norm, all seeds at once. Labels are used only
for the accuracy (majority, on the training points). The picture shows the seed with the highest
modularity. Takes about two minutes on one core.
"""

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

from tests.benchmarks._common import argument_parser
from tuner.data import Dataset, load
from tuner.evaluation.graph import neighbour_graph
from tuner.evaluation.metrics import contingency, majority
from tuner.evaluation.separation import modularity
from tuner.models.gmvae.method import GMVAE, GMVAEClusterer, GMVAEConfig

COLOURS = mpl.colormaps["tab10"]


def paper(epochs: int, *, threshold: float, warm_up: float) -> GMVAEConfig:
    """Return the synthetic networks of Appendix A, with rate and batch size for 8,000 points."""
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
    """Results of one setting: accuracy and modularity (seeds,), z-prior term (epochs, seeds)."""

    config: GMVAEConfig
    chosen: GMVAEClusterer
    accuracy: NDArray[np.float64]
    score: NDArray[np.float64]
    z_prior: list[list[float]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the results as JSON values."""
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
    """Train all seeds at once and return their results."""
    method, x = GMVAE(config, data.shape, range(seeds)), torch.from_numpy(data.train)
    z_prior = [report.metrics["z_prior"].tolist() for report in method.fit(x)]
    labels = method.predict_log_proba(x).argmax(dim=2).numpy()
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    score = modularity(graph, labels[:, graph.index])
    assert data.train_labels is not None
    accuracy = np.array([majority(contingency(row, data.train_labels)) for row in labels])
    chosen = method.clusterers()[int(score.argmax())]
    assert isinstance(chosen, GMVAEClusterer)
    return Outcome(config, chosen, accuracy, score, z_prior)


def picture(data: Dataset, outcomes: dict[str, Outcome], file: Path) -> None:
    """Draw clusters in data and latent space, samples and the z-prior term of each setting."""
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(len(outcomes), 4, figsize=(16, 4 * len(outcomes)), squeeze=False)
    x = torch.from_numpy(data.train)
    for axes, (name, outcome) in zip(grid, outcomes.items(), strict=True):
        labels, codes = outcome.chosen.predict(x).numpy(), outcome.chosen.embed(x).numpy()
        axes[0].scatter(*data.train.T, s=1, c=labels, cmap=COLOURS, vmin=0, vmax=9)
        axes[1].scatter(*codes.T, s=1, c=labels, cmap=COLOURS, vmin=0, vmax=9)
        _plot_components(axes[1], outcome.chosen)
        for k in range(outcome.config.n_components):
            samples = outcome.chosen.sample(k, 400, seed=k).numpy()
            axes[2].scatter(*samples.T, s=1, color=COLOURS(k))
        _plot_z_prior(axes[3], outcome)
        titles = ("clusters", "codes, components at w = 0", "400 samples of each cluster")
        for axis, title in zip(axes, (*titles, "z-prior term, nats"), strict=True):
            axis.set_title(f"{name}: {title}", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _plot_components(axis: Axes, clusterer: GMVAEClusterer) -> None:
    """Draw the ellipse of one standard deviation around the mean of each component."""
    with torch.no_grad():
        style = torch.zeros(1, 1, clusterer.network.config.style_size)
        components = clusterer.network.components(style)
    turn = np.linspace(0, 2 * np.pi, 60)[:, None]
    circle = np.concatenate([np.cos(turn), np.sin(turn)], axis=1)
    for k in range(clusterer.network.config.n_components):
        mean, scale = components.mean[0, 0, k].numpy(), components.stddev[0, 0, k].numpy()
        axis.plot(*(mean + scale * circle).T, color=COLOURS(k), linewidth=2)


def _plot_z_prior(axis: Axes, outcome: Outcome) -> None:
    """Draw Eq. 6 over the epochs for each seed, and the threshold of Eq. 7."""
    axis.plot(1 + np.arange(len(outcome.z_prior)), -np.array(outcome.z_prior))
    threshold = outcome.config.information_threshold * math.log(outcome.config.n_components)
    if threshold > 0:
        axis.axhline(-threshold, color="black", linestyle=":")
    axis.set(ylim=(-1.05 * math.log(outcome.config.n_components), 0.05), xlabel="epoch")


def main() -> None:
    """Train three settings, print their results, and write arcs.json and arcs.png."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    mpl.use("agg")
    args.out.mkdir(parents=True, exist_ok=True)
    data, outcomes = load("arcs"), {}
    settings = {"bound": (0.0, 0.0), "constraint": (0.9, 0.0), "constraint, warm-up": (0.9, 0.5)}
    for name, (threshold, warm_up) in settings.items():
        config = paper(args.epochs, threshold=threshold, warm_up=warm_up)
        outcomes[name] = train(config, data, seeds=args.seeds)
        end = outcomes[name].summary()
        print(
            f"{name:20} accuracy {end['accuracy_mean']:.3f} ± {end['accuracy_sd']:.3f} "
            f"({', '.join(f'{value:.3f}' for value in end['accuracy'])}), "
            f"by score {end['chosen_by_score']:.3f}, z-prior term "
            f"{', '.join(f'{-value:.2f}' for value in end['z_prior'][-1])}",
            flush=True,
        )
    summaries = {name: outcome.summary() for name, outcome in outcomes.items()}
    (args.out / "arcs.json").write_text(json.dumps(summaries, indent=1))
    picture(data, outcomes, args.out / "arcs.png")


if __name__ == "__main__":
    main()
