"""Command-line parsers, timing in alternating turns, and formatting of figures."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


def argument_parser(docstring: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the docstring of a module, with its line breaks."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@dataclass(frozen=True)
class Timed:
    """Wall times of one alternative in seconds, one per turn."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the turns."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        spread = f"{min(self.seconds):.3g} to {max(self.seconds):.3g}"
        return f"{self.name:28} {self.median:9.4g} s   ({spread}, {len(self.seconds)} turns)"


def in_turns(alternatives: Mapping[str, Callable[[], object]], turns: int) -> list[Timed]:
    """Run every alternative once per turn, so that other load affects all of them equally."""
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(turns):
        for name, function in alternatives.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return [Timed(name, tuple(each)) for name, each in seconds.items()]


def ratio(slow: Timed, fast: Timed) -> dict[str, float]:
    """Return the speedup of `fast`: its median over the turns, minimum and maximum."""
    each = [s / f for s, f in zip(slow.seconds, fast.seconds, strict=True)]
    return {"median": statistics.median(each), "low": min(each), "high": max(each)}


def format_ratio(speedup: Mapping[str, float]) -> str:
    """Return the result of `ratio` as text."""
    return f"{speedup['median']:.2f} times ({speedup['low']:.2f} to {speedup['high']:.2f})"


def mean_and_sd(values: Sequence[float], *, percent: bool = False) -> str:
    """Return mean and standard deviation (n - 1, 0 for one value) as `0.576 ± 0.076`.

    With `percent`, for values in per cent, the format is `57.6±7.6`.
    """
    mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{mean:.1f}±{sd:.1f}" if percent else f"{mean:.3f} ± {sd:.3f}"


def write(path: Path | None, timed: list[Timed], **facts: Any) -> None:
    """Print times and facts, and write them as JSON if a path is given."""
    for alternative in timed:
        print(alternative)
    for name, fact in facts.items():
        is_ratio = isinstance(fact, dict) and set(fact) == {"median", "low", "high"}
        print(f"{name:28} {format_ratio(fact) if is_ratio else fact}", flush=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"sides": [asdict(alternative) for alternative in timed], **facts}
        path.write_text(json.dumps(document, indent=1))
