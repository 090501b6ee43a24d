"""Two sides of a comparison, timed turn by turn in one run, and how the figures are written."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timed:
    """Wall times of one side, in seconds, one per turn."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median turn."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        spread = f"{min(self.seconds):.3g} to {max(self.seconds):.3g}"
        return f"{self.name:28} {self.median:9.4g} s   ({spread}, {len(self.seconds)} turns)"


def in_turns(sides: Mapping[str, Callable[[], object]], turns: int) -> list[Timed]:
    """Run every side once per turn, so that what else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return [Timed(name, tuple(each)) for name, each in seconds.items()]


def ratio(slow: Timed, fast: Timed) -> dict[str, float]:
    """Return how many times faster `fast` is: the median over turns, and the extremes."""
    each = [s / f for s, f in zip(slow.seconds, fast.seconds, strict=True)]
    return {"median": statistics.median(each), "low": min(each), "high": max(each)}


def told(of: Mapping[str, float]) -> str:
    """Return a ratio in words."""
    return f"{of['median']:.2f} times ({of['low']:.2f} to {of['high']:.2f})"


def write(path: Path | None, timed: list[Timed], **facts: Any) -> None:
    """Print the sides and facts; write them as JSON if a path is given."""
    for side in timed:
        print(side)
    for name, fact in facts.items():
        shown = (
            told(fact)
            if isinstance(fact, dict) and set(fact) == {"median", "low", "high"}
            else fact
        )
        print(f"{name:28} {shown}", flush=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"sides": [asdict(side) for side in timed], **facts}
        path.write_text(json.dumps(document, indent=1))
