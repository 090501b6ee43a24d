"""Replicas trained at once in one program, against the same number of runs in sequence.

    python -m tests.benchmarks.replicas [--replicas 4] [--turns 3] [--data digits] [--device cpu]

Trains every method that trains a network for a few passes, at its preset for the data. Checks
first that both ways report the same metrics for the same seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks._common import argument_parser, format_ratio, in_turns, ratio, write
from tuner.data import load
from tuner.methods import catalog
from tuner.methods.contract import Method, Trains
from tuner.study.presets import preset_of
from tuner.study.space import method_space


@dataclass(frozen=True)
class Case:
    """A method at its preset, with its points."""

    name: str
    x: Tensor
    preset: str
    passes: int

    def fresh(self, seeds: Sequence[int]) -> Method:
        """Return the untrained method."""
        method = catalog.method(self.name)
        preset = preset_of(method_space(self.name), self.preset)
        config = method.config_type.from_mapping(preset.settings).capped(self.passes)
        return method(config, tuple(self.x.shape[1:]), seeds, device=self.x.device)

    def first_metrics(self, seeds: Sequence[int]) -> Mapping[str, Tensor]:
        """Return the metrics of the first pass, each (R,)."""
        return next(self.fresh(seeds).fit(self.x)).metrics

    def train(self, seeds: Sequence[int]) -> None:
        """Train to the end."""
        for _ in self.fresh(seeds).fit(self.x):
            pass

    def together(self, replicas: int) -> None:
        """Train all replicas at once."""
        self.train(range(replicas))

    def in_sequence(self, replicas: int) -> None:
        """Train one replica after the other."""
        for seed in range(replicas):
            self.train([seed])


def check(case: Case, replicas: int) -> None:
    """Raise unless both ways report the same metrics for the first pass, up to rounding.

    In later passes, initial mixtures and adversarial training amplify rounding errors.
    """
    together = case.first_metrics(range(replicas))
    for seed in range(replicas):
        for name, alone in case.first_metrics([seed]).items():
            if not torch.allclose(alone, together[name][[seed]], rtol=1e-2, atol=1e-4):
                raise SystemExit(f"{case.name}: {name} of seed {seed} differs alone: {alone}")


def main() -> None:
    """Time all methods that train networks, from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--points", type=int)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="default: 1, as for a trial")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    x = torch.from_numpy(load(args.data).train[: args.points]).to(args.device)
    found: dict[str, Any] = {}
    timed = []
    for name in catalog.names():
        if not issubclass(catalog.method(name), Trains):
            continue
        case = Case(name, x, args.data, args.passes)
        check(case, args.replicas)
        sequential, together = in_turns(
            {
                f"{name}, in turn": lambda case=case: case.in_sequence(args.replicas),
                f"{name}, together": lambda case=case: case.together(args.replicas),
            },
            args.turns,
        )
        timed += [sequential, together]
        found[name] = ratio(sequential, together)
        print(f"{name:28} {format_ratio(found[name])}", flush=True)
    write(args.out, timed, replicas=args.replicas, device=args.device, faster=found)


if __name__ == "__main__":
    main()
