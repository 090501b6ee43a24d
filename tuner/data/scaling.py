"""The scaling between raw numbers and those that methods are trained on, stored with a model."""

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
    """An affine map per feature: scaled = (raw - shift) / scale.

    `shift` and `scale` broadcast to the shape of one point. They have double precision, so that
    small differences on a large offset (such as times in seconds) are preserved.

    With `counts`, a mask of features (F,), these are counts, and log(1 + raw · `library_size` /
    total) replaces them first, where total is the sum of the counts of a point. Their inverse has
    the total `library_size`. With `limit`, scaled values are clipped to [-limit, limit].
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    counts: NDArray[np.bool_] | None = None
    library_size: float | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if not (np.isfinite(self.shift).all() and np.isfinite(self.scale).all()):
            raise DataError("a stored scaling has non-finite values: train the model again")
        if (self.scale <= 0).any():
            raise DataError(
                f"the scale {self.scale.min():g} is not positive: train the model again"
            )
        if (self.counts is None) != (self.library_size is None):
            raise DataError("a stored scaling of counts is incomplete: train the model again")

    def apply(self, raw: Array) -> Floats:
        """Return raw points (N, *shape) scaled."""
        raw = np.asarray(raw)
        scaled = np.empty(raw.shape, np.float32)
        for rows in blocks(raw):
            values = (self.linear(raw[rows]) - self.shift) / self.scale
            if self.limit is not None:  # NaN and infinity stay, to be refused by the caller
                values = np.where(
                    np.isfinite(values), values.clip(-self.limit, self.limit), values
                )
            scaled[rows] = values
        return scaled

    def invert(self, scaled: Array) -> Array:
        """Return scaled points (N, *shape) in their raw units.

        Rows of tables are of double precision, as features have units of their own.
        """
        scaled = np.asarray(scaled)
        raw = np.empty(scaled.shape, np.float64 if scaled.ndim == 2 else np.float32)
        for rows in blocks(scaled):
            values = scaled[rows] * self.scale + self.shift
            if self.counts is not None:
                values[:, self.counts] = np.expm1(values[:, self.counts]).clip(0)
            raw[rows] = values
        return raw

    def linear(self, raw: Array) -> Array:
        """Return raw points (n, *shape) with the logarithm of counts in their place."""
        if self.counts is None or self.library_size is None:
            return raw
        values = raw.astype(np.float64)
        counts = values[:, self.counts]
        if (counts < 0).any():
            raise DataError(
                f"{counts.min():g} is no count, as counts are not negative: use the counts "
                "themselves, or another --scale than log1p"
            )
        total = counts.sum(axis=1, keepdims=True)
        empty = total < min(0.5, 1e-3 * self.library_size)  # apart from rounding
        factor = np.where(empty, 0.0, self.library_size / np.where(empty, 1.0, total))
        values[:, self.counts] = np.log1p(counts * factor)
        return values

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays to store with a model."""
        optional = {
            name: np.asarray(value)
            for name in ("counts", "library_size", "limit")
            if (value := getattr(self, name)) is not None
        }
        return {"shift": self.shift, "scale": self.scale, **optional}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the scaling from the arrays of `to_arrays`, or raise DataError."""
        missing = [name for name in ("shift", "scale") if name not in arrays]
        if missing:
            raise DataError(f"a stored scaling lacks {missing[0]!r}: train the model again")
        shift, scale = (np.asarray(arrays[name], np.float64) for name in ("shift", "scale"))
        counts = arrays.get("counts")
        size, limit = (
            float(arrays[name]) if name in arrays else None for name in ("library_size", "limit")
        )
        return cls(shift, scale, None if counts is None else counts.astype(np.bool_), size, limit)


def blocks(x: Array, values: int = 1 << 18) -> Iterator[slice]:
    """Yield slices of rows with about `values` numbers each, to keep temporary arrays small."""
    rows = max(1, values * max(1, len(x)) // max(1, x.size))
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)
