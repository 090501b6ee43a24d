"""The affine scaling between raw data and the data that methods are trained on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Array = NDArray[Any]
Floats = NDArray[np.float32]
Shape = tuple[int, ...]


@final
@dataclass(frozen=True, eq=False)
class Scaling:
    """An affine map per feature, stored with each model: scaled = (raw - shift) / scale.

    `shift` and `scale` broadcast to the shape of one point. They have double precision, so that
    small differences on a large offset (such as times in seconds) are preserved.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if not (np.isfinite(self.shift).all() and np.isfinite(self.scale).all()):
            raise DataError("a stored scaling has non-finite values: train the model again")
        if (self.scale <= 0).any():
            raise DataError(
                f"the scale {self.scale.min():g} is not positive: train the model again"
            )

    def apply(self, raw: Array) -> Floats:
        """Return raw points (N, *shape) scaled."""
        raw = np.asarray(raw)
        scaled = np.empty(raw.shape, np.float32)
        for rows in blocks(raw):
            scaled[rows] = (raw[rows] - self.shift) / self.scale
        return scaled

    def invert(self, scaled: Array) -> Floats:
        """Return scaled points (N, *shape) in their raw units."""
        scaled = np.asarray(scaled)
        raw = np.empty(scaled.shape, np.float32)
        for rows in blocks(scaled):
            raw[rows] = scaled[rows] * self.scale + self.shift
        return raw

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays to store with a model."""
        return {"shift": self.shift, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the scaling from the arrays of `to_arrays`. Raises DataError."""
        missing = [name for name in ("shift", "scale") if name not in arrays]
        if missing:
            raise DataError(f"a stored scaling lacks {missing[0]!r}: train the model again")
        return cls(*(np.asarray(arrays[name], np.float64) for name in ("shift", "scale")))


def fit_scaling(
    train: Array, unit: float | None, widths: tuple[int, ...] = ()
) -> tuple[Scaling, str]:
    """Return the scaling for the training part (N, *shape), and a description of its rule.

    Data with a known `unit` are divided by it, values within [0, 1] are kept, and bytes are
    divided by 255. All other features get mean 0 and variance 1, and constant features are only
    shifted. `widths` are the numbers of features of a table's columns if some of these are
    vectors. The features of one vector are divided by the same number, so that their mean variance
    is 1 and distances between vectors keep their proportions.
    """
    if unit is not None:
        return _division(unit), f"divided by {unit:g}"
    if train.min() >= 0 and train.max() <= 1:
        return _division(1.0), "as it is"
    if train.dtype == np.uint8:
        return _division(255.0), "divided by 255"
    mean = train.mean(axis=0, dtype=np.float64)
    squares = np.zeros(train.shape[1:])
    for rows in blocks(train):
        squares += ((train[rows] - mean) ** 2).sum(axis=0)
    variance = np.where(train.max(axis=0) == train.min(axis=0), 0.0, squares / len(train))
    rule = "standardised"
    if widths:
        starts = np.cumsum((0, *widths[:-1]))
        variance = np.repeat(np.add.reduceat(variance, starts) / widths, widths)
        rule += f", columns of {', '.join(map(str, widths))}"
    deviation = np.sqrt(variance)
    return Scaling(mean, np.where(deviation == 0, 1.0, deviation)), rule


def blocks(x: Array, values: int = 1 << 18) -> Iterator[slice]:
    """Yield slices of rows with about `values` numbers each, to keep temporary arrays small."""
    rows = max(1, values * max(1, len(x)) // max(1, x.size))
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)


def _division(by: float) -> Scaling:
    return Scaling(np.zeros(()), np.asarray(by))
