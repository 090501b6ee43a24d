"""Matrix products in bfloat16 against float32: time and accuracy.

    python -m tests.benchmarks.precision [--points 10000] [--passes 8] [--seeds 4] [--out FILE]

Trains the GMVAE with fully connected layers and EM-VAE on MNIST, all seeds at once. Accuracy is
hungarian on the training points. Both precisions are the same on a device without bfloat16.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.benchmarks._common import Timed, argument_parser, in_turns, mean_and_sd, ratio, write
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
    "em_vae": {"n_components": 10, "m_step_epochs": 4, "start": "kmeans", "diffusion_steps": 0},
}


@dataclass
class Case:
    """A method on points, and its accuracies by precision."""

    name: str
    passes: int
    seeds: int
    x: Tensor
    truth: NDArray[np.int64]
    found: dict[str, list[float]] = field(default_factory=dict)

    def train(self, precision: str, narrow: int) -> None:
        """Train all seeds with bfloat16 products in layers of at least `narrow` units."""
        kind = catalog.method(self.name)
        config = kind.config_type.from_mapping(SETTINGS[self.name]).capped(self.passes)
        with patch.object(_precision, "MIN_WIDTH", narrow):
            method = kind(config, tuple(self.x.shape[1:]), range(self.seeds), device=self.x.device)
            for _ in method.fit(self.x):
                pass
        labels = method.predict_log_proba(self.x).argmax(-1).cpu().numpy()
        self.found[precision] = [hungarian(contingency(row, self.truth)) for row in labels]

    def compare(self) -> tuple[list[Timed], dict[str, Any]]:
        """Return the times of both precisions, their ratio and the accuracies."""
        full, half = in_turns(
            {
                f"{self.name}, float32": lambda: self.train("float32", 10**9),
                f"{self.name}, bfloat16": lambda: self.train("bfloat16", 256),
            },
            turns=1,
        )
        facts: dict[str, Any] = {f"{self.name} faster": ratio(full, half)}
        for precision, each in self.found.items():
            facts[f"{self.name} {precision}"] = mean_and_sd(each)
        return [full, half], facts


def main() -> None:
    """Compare both precisions, from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="default: 1, as for a trial")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = torch.from_numpy(data.train[: args.points]).to(args.device)
    truth = data.train_labels[: args.points]
    timed: list[Timed] = []
    facts: dict[str, Any] = {}
    for name in SETTINGS:
        times, found = Case(name, args.passes, args.seeds, x, truth).compare()
        timed += times
        facts |= found
    write(args.out, timed, **facts)


if __name__ == "__main__":
    main()
