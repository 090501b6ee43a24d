"""What restarts gain, and what the same time gains with longer schedules.

    python -m tests.benchmarks.restarts --method vade --dataset mnist [--subset N] [--epochs N]
        [--set NAME=VALUE] [--replicas 5] [--seed 0] [--device cpu] [--threads N] [--out FILE]

Trains one configuration with 1, 2 and 4 restarts at the same passes, then without restarts on as
many passes as fit into the time of 4 restarts. `--epochs` limits the passes of the first three; a
method whose full schedule is shorter than the last arm needs gets a longer one by `--set`, such as
`epochs=300`. Every arm has the same number of replicas, and its first candidates the same seeds.

Prints mean ± standard deviation over replicas of the hungarian accuracy on the test split in %,
that of the replica with the highest score, the mean score on the training points, and seconds.
Labels are used only for these figures.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks._common import argument_parser, mean_and_sd
from tests.benchmarks.tables import first_points, preset_for, settings
from tuner.cli.values import fixed
from tuner.data import Dataset, load
from tuner.evaluation.metrics import audit
from tuner.evaluation.structureless import scored_graph
from tuner.methods.config import Config
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialData, TrialSpec, trial_data

RESTARTS = (1, 2, 4)


@dataclass(frozen=True)
class Bench:
    """What all arms share; `full` is the configuration with its whole schedule."""

    method: str
    full: Config
    data: Dataset
    shared: TrialData
    replicas: int
    seed: int
    device: str

    def run(self, restarts: int, passes: int) -> dict[str, Any]:
        """Return the figures of a training with so many restarts and at most so many passes."""
        config, first = self.full.capped(passes), self.seed
        with tempfile.TemporaryDirectory() as folder:
            spec = TrialSpec(
                number=0,
                method=self.method,
                settings=config.to_mapping(),
                seeds=tuple(range(first, first + self.replicas * restarts)),
                objective="separation",
                folder=folder,
                device=self.device,
                restarts=restarts,
            )
            started = time.perf_counter()
            trial = Trial(spec, self.shared)
            while not trial.finished:
                last = trial.advance()
            seconds = time.perf_counter() - started
        if last.failure is not None:
            raise SystemExit(f"{self.method} failed: {last.failure}")
        accuracy = self._accuracy(trial)
        return {
            "restarts": restarts,
            "passes": config.passes,
            "seconds": round(seconds, 1),
            "accuracy": accuracy,
            "scores": list(last.replicas),
            "seeds": list(last.seeds or spec.seeds),
            "chosen": accuracy[int(np.argmax(last.replicas))],
        }

    def _accuracy(self, trial: Trial) -> list[float]:
        points = torch.tensor(self.data.test, device=self.device)
        parts = [trial.method.predict_log_proba(p).float().cpu() for p in points.split(10_000)]
        each = torch.cat(parts, dim=1).numpy()
        assert self.data.test_labels is not None
        return [100 * audit(one, self.data.test_labels)["hungarian"] for one in each]


def row(arm: dict[str, Any]) -> str:
    """Return one line of the table."""
    cells = [
        str(arm["restarts"]),
        str(arm["passes"]),
        mean_and_sd(arm["accuracy"], percent=True),
        f"{arm['chosen']:.1f}",
        f"{np.mean(arm['scores']):.3f}",
        f"{arm['seconds']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--method", default="vade")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--subset", type=int, help="number of training points to use")
    parser.add_argument("--epochs", type=int, help="maximum number of passes over the data")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--replicas", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    data = first_points(load(args.dataset), args.subset)
    begun = preset_for(args.method, data)
    full = settings(args.method, data, begun, fixed(args.set))
    shared = trial_data(data, scored_graph(data.train, fingerprint=data.fingerprint))
    bench = Bench(args.method, full, data, shared, args.replicas, args.seed, args.device)
    passes = full.passes if args.epochs is None else full.capped(args.epochs).passes
    print("| restarts | passes | accuracy | chosen | score | seconds |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    arms: list[dict[str, Any]] = []

    def add(restarts: int, passes: int) -> None:
        arms.append(bench.run(restarts, passes))
        print(row(arms[-1]), flush=True)

    for restarts in RESTARTS:
        add(restarts, passes)
    longer = round(passes * arms[-1]["seconds"] / arms[0]["seconds"])
    add(1, longer)
    if arms[-1]["passes"] < 0.9 * longer:
        print(f"the full schedule has {full.passes} passes, not {longer}: lengthen it with --set")
    if args.out is not None:
        document = {"method": args.method, "dataset": args.dataset, "points": len(data.train)}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**document, "arms": arms}, indent=1) + "\n")


if __name__ == "__main__":
    main()
