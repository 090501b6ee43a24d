"""Scales of charts: where a value is drawn, and which values are written at the axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

_FAR = 3.0  # interquartile ranges below the lower quartile
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A map from values between `low` and `high` to positions between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, values: Iterable[float], start: float, end: float, *, whole: bool = False) -> Self:
        """Return the scale of some values, with a margin at both ends."""
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low=low - margin, high=high + margin, start=start, end=end, whole=whole)

    def __call__(self, value: float) -> float:
        """Return the position of a value; one outside is drawn at the nearest end."""
        low, high, value = map(self._moved, (self.low, self.high, value))
        share = 0.5 if high <= low else (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        """Return at most about `most` round values in the range."""
        if self.high <= self.low:
            return [self.low]
        if self.log and self.high / self.low >= 100:
            return _decades(self.low, self.high, most)
        step = _round_up((self.high - self.low) / most)
        step = max(1.0, math.ceil(step)) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _moved(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.log else value


def without_far_values(values: Iterable[float]) -> list[float]:
    """Return finite values without those so low that all others would be drawn as a line.

    They are lower than the first quartile by more than three interquartile ranges.
    """
    known = sorted(value for value in values if math.isfinite(value))
    if len(known) < 4:
        return known
    first, third = known[len(known) // 4], known[3 * len(known) // 4]
    lowest = first - _FAR * (third - first)
    return [value for value in known if value >= lowest] if third > first else known


def label(value: float) -> str:
    """Return a tick's value as text."""
    text = f"{value:,.7g}" if abs(value) < 1e7 else f"{value:.3g}"
    return text.replace("-", "−")


def spread_over(items: Sequence[object], most: int) -> list[int]:
    """Return at most `most` indices of a sequence, evenly over it, with both ends."""
    if len(items) <= most:
        return list(range(len(items)))
    return sorted({round(i * (len(items) - 1) / (most - 1)) for i in range(most)})


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1, step)]


def _round_up(step: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in _STEPS if power * factor >= step * (1 - 1e-9))
