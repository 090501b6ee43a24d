"""Figures of the columns of numbers in a table, in one pass over its rows."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..scaling import Array, blocks

MAX_VALUE = 1e37  # well below the maximum of float32, so that scaling can be inverted


@final
@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of each column (P,) of numbers, apart from cells that are missing.

    `low` and `high` are NaN where there is no usable value. `unusable` counts values that are
    infinite or too large to be scaled.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    zeros: NDArray[np.int64]
    missing: NDArray[np.int64]
    unusable: NDArray[np.int64]
    whole: NDArray[np.bool_]
    points: int


@final
class Profiler:
    """Gathers a profile block by block."""

    def __init__(self, columns: int) -> None:
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._total, self._squares = np.zeros(columns), np.zeros(columns)
        self._origin = np.zeros(columns)
        self._zeros, self._missing, self._unusable = np.zeros((3, columns), np.int64)
        self._whole = np.ones(columns, np.bool_)
        self._points = 0

    def add(self, block: Array) -> None:
        """Add rows (n, P)."""
        part = block.astype(np.float64)
        gone, large = np.isnan(part), np.abs(part) > MAX_VALUE
        out = gone | large
        if self._points == 0 and len(part):
            self._origin = np.where(out[0], 0.0, part[0])  # near the mean, for exact squares
        self._low = np.minimum(self._low, part.min(axis=0, initial=np.inf, where=~out))
        self._high = np.maximum(self._high, part.max(axis=0, initial=-np.inf, where=~out))
        centred = np.where(out, 0.0, part - self._origin)
        self._total += centred.sum(axis=0)
        self._squares += (centred**2).sum(axis=0)
        self._zeros += (part == 0).sum(axis=0)
        self._missing += gone.sum(axis=0)
        self._unusable += large.sum(axis=0)
        self._whole &= ((np.floor(part) == part) | out).all(axis=0)
        self._points += len(part)

    def result(self) -> Profile:
        """Return the figures of all blocks."""
        count = self._points - self._missing - self._unusable
        empty, n = count == 0, np.maximum(count, 1)
        mean = self._total / n
        return Profile(
            low=np.where(empty, np.nan, self._low),
            high=np.where(empty, np.nan, self._high),
            mean=mean + self._origin,
            deviation=np.sqrt(np.maximum(self._squares / n - mean**2, 0.0)),
            zeros=self._zeros,
            missing=self._missing,
            unusable=self._unusable,
            whole=self._whole & ~empty,
            points=self._points,
        )


def profile(x: Array) -> Profile:
    """Return the figures of the columns of x (N, P)."""
    profiler = Profiler(x.shape[1])
    for rows in blocks(x):
        profiler.add(x[rows])
    return profiler.result()
