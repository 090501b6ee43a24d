"""Replicas side by side in one program, against as many runs one after the other.

    python -m tests.benchmarks.replicas [--replicas 4] [--turns 3] [--data digits] [--device cpu]

Every method that trains a network, at its preset for the data, a few passes. Both sides are first
shown to report the same for the same seeds.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks._ratios import in_turns, ratio, told, write
from tuner.data import load
from tuner.methods import catalog
from tuner.methods.contract import Method, Trains
from tuner.study.space import method_space


@dataclass(frozen=True)
class Case:
    """A method at its preset, on points and a device."""

    name: str
    x: Tensor
    preset: str
    passes: int

    def fresh(self, seeds: Sequence[int]) -> Method:
        """Return the untrained method."""
        method = catalog.method(self.name)
        preset = dict(method_space(self.name).presets[self.preset])
        config = method.config_type.from_mapping(preset).capped(self.passes)
        return method(config, tuple(self.x.shape[1:]), seeds, device=self.x.device)

    def first(self, seeds: Sequence[int]) -> Mapping[str, Tensor]:
        """Return what the first pass reports, each (R,)."""
        return next(self.fresh(seeds).fit(self.x)).metrics

    def train(self, seeds: Sequence[int]) -> None:
        """Train to the end."""
        for _ in self.fresh(seeds).fit(self.x):
            pass

    def together(self, replicas: int) -> None:
        """Train all replicas side by side."""
        self.train(range(replicas))

    def in_turn(self, replicas: int) -> None:
        """Train one replica after the other."""
        for seed in range(replicas):
            self.train([seed])


def check(case: Case, replicas: int) -> None:
    """Raise unless both sides report the same of their first pass, but for rounding.

    Later on a start of a mixture, or a game of adversaries, makes rounding as large as anything.
    """
    together = case.first(range(replicas))
    for seed in range(replicas):
        for name, alone in case.first([seed]).items():
            if not torch.allclose(alone, together[name][[seed]], rtol=1e-2, atol=1e-4):
                raise SystemExit(f"{case.name}: {name} of seed {seed} differs alone: {alone}")


def main() -> None:
    """Time all methods that train."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--replicas", type=int, default=4)
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument("--data", default="digits")
    flags.add_argument("--points", type=int)
    flags.add_argument("--passes", type=int, default=6)
    flags.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags.add_argument("--threads", type=int, default=1, help="what a trial has by default")
    flags.add_argument("--out", type=Path)
    given = flags.parse_args()
    torch.set_num_threads(given.threads)
    x = torch.from_numpy(load(given.data).train[: given.points]).to(given.device)
    found: dict[str, Any] = {}
    timed = []
    for name in catalog.names():
        if not issubclass(catalog.method(name), Trains):
            continue
        case = Case(name, x, given.data, given.passes)
        check(case, given.replicas)
        apart, together = in_turns(
            {
                f"{name}, in turn": lambda case=case: case.in_turn(given.replicas),
                f"{name}, together": lambda case=case: case.together(given.replicas),
            },
            given.turns,
        )
        timed += [apart, together]
        found[name] = ratio(apart, together)
        print(f"{name:28} {told(found[name])}", flush=True)
    write(given.out, timed, replicas=given.replicas, device=given.device, faster=found)


if __name__ == "__main__":
    main()
