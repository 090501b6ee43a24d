"""Products in bfloat16 against float32: what they save, and whether the clusters are as good.

    python -m tests.benchmarks.precision [--points 10000] [--passes 8] [--seeds 4] [--out FILE]

The GMVAE with fully connected layers and EM-VAE, seeds side by side on MNIST. Accuracy is
hungarian on the training points. Where a device does not multiply bfloat16 the sides are the same.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.benchmarks._ratios import Timed, in_turns, ratio, write
from tuner.data import load
from tuner.evaluation.metrics import contingency, hungarian
from tuner.methods import catalog
from tuner.models._kit import precision as _precision

SETTINGS: dict[str, dict[str, Any]] = {
    "gmvae": {
        "n_components": 10,
        "code_size": 64,
        "style_size": 32,
        "prior_hidden_size": 128,
        "learning_rate": 1e-3,
        "batch_size": 128,
    },
    "em_vae": {"n_components": 10, "m_step_epochs": 4, "start": "kmeans"},
}


@dataclass
class Case:
    """A method on points, and the accuracies that each precision has reached."""

    name: str
    passes: int
    seeds: int
    x: Tensor
    truth: NDArray[np.int64]
    found: dict[str, list[float]] = field(default_factory=dict)

    def train(self, side: str, narrow: int) -> None:
        """Train all seeds with bfloat16 products in layers from `narrow` on."""
        kind = catalog.method(self.name)
        config = kind.config_type.from_mapping(SETTINGS[self.name]).capped(self.passes)
        with patch.object(_precision, "MIN_WIDTH", narrow):
            method = kind(config, tuple(self.x.shape[1:]), range(self.seeds), device=self.x.device)
            for _ in method.fit(self.x):
                pass
        labels = method.predict_log_proba(self.x).argmax(-1).cpu().numpy()
        self.found[side] = [hungarian(contingency(row, self.truth)) for row in labels]

    def compare(self) -> tuple[list[Timed], dict[str, Any]]:
        """Return the times of both sides and what there is to say of them."""
        full, half = in_turns(
            {
                f"{self.name}, float32": lambda: self.train("float32", 10**9),
                f"{self.name}, bfloat16": lambda: self.train("bfloat16", 256),
            },
            turns=1,
        )
        facts: dict[str, Any] = {f"{self.name} faster": ratio(full, half)}
        for side, each in self.found.items():
            facts[f"{self.name} {side}"] = f"{np.mean(each):.3f} ± {np.std(each, ddof=1):.3f}"
        return [full, half], facts


def main() -> None:
    """Compare both methods."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--points", type=int, default=10_000)
    flags.add_argument("--passes", type=int, default=8)
    flags.add_argument("--seeds", type=int, default=4)
    flags.add_argument("--threads", type=int, default=1, help="what a trial has by default")
    flags.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags.add_argument("--out", type=Path)
    given = flags.parse_args()
    torch.set_num_threads(given.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = torch.from_numpy(data.train[: given.points]).to(given.device)
    truth = data.train_labels[: given.points]
    timed: list[Timed] = []
    facts: dict[str, Any] = {}
    for name in SETTINGS:
        sides, said = Case(name, given.passes, given.seeds, x, truth).compare()
        timed += sides
        facts |= said
    write(given.out, timed, **facts)


if __name__ == "__main__":
    main()
