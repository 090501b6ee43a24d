"""Alternating training of a VAE and a Gaussian mixture: a table and a picture.

    python -m tests.benchmarks.mutual --out FOLDER [--data mnist] [--seeds 5]

DGM final project - VAE with latent clustering using GMM (2025), section 3.3: over 80 % on MNIST,
without protocol and split. Here all seeds train at once on all training points with the method's
preset, and the one with the highest `score` (modularity, no labels) is chosen. Accuracy is
hungarian. `vae_gmm` is the same training before the first round. MNIST takes about six minutes of
processor time.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks._common import argument_parser
from tuner.data import Dataset, load
from tuner.evaluation.graph import NeighbourGraph, neighbour_graph
from tuner.evaluation.metrics import contingency, hungarian
from tuner.evaluation.separation import modularity
from tuner.models.mutual_vae_gmm import MutualVAEGMM, MutualVAEGMMConfig
from tuner.study.presets import preset_of
from tuner.study.space import method_space


@dataclass(frozen=True)
class Outcome:
    """Results of all seeds, as arrays of shape (seeds,)."""

    score: NDArray[np.float64]
    train: NDArray[np.float64]
    test: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """Return mean and sd of the accuracies, and those of the seed chosen by score."""
        chosen = int(self.score.argmax())
        figures: dict[str, Any] = {"chosen": chosen, "score": self.score.round(4).tolist()}
        for split, accuracy in (("train", self.train), ("test", self.test)):
            figures[split] = {
                "mean": float(accuracy.mean()),
                "sd": float(accuracy.std(ddof=1)) if len(accuracy) > 1 else 0.0,
                "best": float(accuracy.max()),
                "chosen": float(accuracy[chosen]),
                "each": accuracy.round(4).tolist(),
            }
        return figures


def outcome(method: MutualVAEGMM, data: Dataset, graph: NeighbourGraph) -> Outcome:
    """Return the results of the replicas."""
    train, test = (
        method.predict_log_proba(torch.from_numpy(x)).argmax(-1).numpy()
        for x in (data.train, data.test)
    )
    assert data.train_labels is not None
    assert data.test_labels is not None
    return Outcome(
        modularity(graph, train[:, graph.index]),
        np.array([hungarian(contingency(row, data.train_labels)) for row in train]),
        np.array([hungarian(contingency(row, data.test_labels)) for row in test]),
    )


def run(data: Dataset, seeds: int) -> tuple[MutualVAEGMM, dict[str, Outcome]]:
    """Train the preset, and return the method and its outcomes before and after the rounds."""
    preset = preset_of(method_space("mutual_vae_gmm"), data.name)
    config = MutualVAEGMMConfig.from_mapping(preset.settings)
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    method = MutualVAEGMM(config, data.shape, range(seeds))
    outcomes, start = {}, time.perf_counter()
    for report in method.fit(torch.from_numpy(data.train)):
        elbo = " ".join(f"{value:8.2f}" for value in report.metrics["elbo"].tolist())
        print(
            f"{time.perf_counter() - start:6.0f} s  pass {report.epoch:3}  bound {elbo}",
            flush=True,
        )
        if report.epoch == config.vae_epochs:
            outcomes["vae_gmm"] = outcome(method, data, graph)
    outcomes["mutual_vae_gmm"] = outcome(method, data, graph)
    return method, outcomes


def table(outcomes: dict[str, Outcome]) -> str:
    """Return the outcomes as a text table."""
    lines = [f"{'':16}{'split':8}{'mean ± sd':>16}{'best':>8}{'chosen by score':>18}"]
    for name, reached in outcomes.items():
        summary = reached.summary()
        for split in ("train", "test"):
            s = summary[split]
            mean_sd = f"{100 * s['mean']:.1f} ± {100 * s['sd']:.1f}"
            best, chosen = 100 * s["best"], 100 * s["chosen"]
            lines.append(f"{name:16}{split:8}{mean_sd:>16}{best:8.1f}{chosen:18.1f}")
    return "\n".join(lines)


def picture(method: MutualVAEGMM, chosen: int, path: Path) -> None:
    """Draw ten samples of each cluster of the chosen seed, one row per cluster."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    clusterer = method.clusterers()[chosen]
    assert isinstance(clusterer, method.clusterer_type)
    clusters = method.config.n_components
    rows = [np.hstack(list(clusterer.sample(c, 10, seed=c).numpy())) for c in range(clusters)]
    plt.imsave(path, np.vstack(rows), cmap="gray_r")


def main() -> None:
    """Run from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--data", default="mnist", help="dataset with a preset")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, trained at once")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    method, outcomes = run(load(args.data), args.seeds)
    document = {
        "data": args.data,
        "protocol": "hungarian",
        "config": method.config.to_mapping(),
        "seconds": round(time.perf_counter() - start),
        **{name: reached.summary() for name, reached in outcomes.items()},
    }
    (args.out / f"{args.data}.json").write_text(json.dumps(document, indent=2))
    chosen = int(outcomes["mutual_vae_gmm"].score.argmax())
    if len(method.shape) == 2:
        picture(method, chosen, args.out / f"{args.data}.png")
    print(table(outcomes))


if __name__ == "__main__":
    main()
