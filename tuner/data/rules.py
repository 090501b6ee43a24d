"""Fits the scaling of training points by one rule for what they are, whatever their type."""

import copy
from collections.abc import Sequence
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .scaling import Array, Scaling, Shape, blocks
from .table.columns import CATEGORY, CODE, INDICATOR, NUMBER, VECTOR

_LIMIT = 10.0  # of robustly scaled values, far beyond those of any bulk of points
_TIED = 0.25  # share of values at the median from which quartiles say little
_NORMAL_RANGE = 1.3489795  # between the quartiles of a standard normal variable
_APART = 1.0  # distance of two categories, and of missing and present values

Segments = Sequence[tuple[str, int, int]]


def fit_scaling(
    train: Array, rule: str, segments: Segments, *, others: Array | None = None
) -> Scaling:
    """Return the scaling of training points (N, features) or images (N, *shape).

    - `standard`: features of numbers get mean 0 and variance 1. Those of one vector are divided by
      one number, so that their mean variance is 1 and distances keep their proportions.
    - `robust`: the same with median and interquartile range, clipped to ±10. Where a quarter of
      the values or more are the median, the quartiles say little, and the outer 5 % are brought to
      their quantiles instead.
    - `log1p`: the logarithm of counts, whose totals are made equal first, then `standard`.
    - `range`: all values by one range to [0, 1].
    - `unit`: means are 0, and one number divides all values, so that the mean variance is 1.
    - `none`: as they are.

    Two different categories are 1 apart unless the rule is `range` or `none`, and so are missing
    and present values: as far as values that differ by one standard deviation, however rare they
    are. With more, categories would be the clusters. `segments` are the kinds of features in a
    table, or () for images. A range is that of `others` as well, so that the pixels of a test part
    are in [0, 1].
    """
    flat = train.reshape(len(train), -1)
    if rule == "log1p":
        return _log1p(flat, segments)
    if rule == "robust":
        return shaped(_robust(flat, segments), train.shape[1:])
    moments = Moments()
    for rows in blocks(flat):
        moments.add(flat[rows])
    if others is not None and rule == "range":
        rest = others.reshape(len(others), -1)
        for rows in blocks(rest):
            moments.add_range(rest[rows])
    return shaped(moments.scaling(rule, segments), train.shape[1:])


@final
class Moments:
    """Mean, variance and range of features, gathered block by block in one pass."""

    def __init__(self) -> None:
        from sklearn.preprocessing import StandardScaler

        self._scaler = StandardScaler()
        self._origin: NDArray[np.float64] | None = None
        self.low: NDArray[np.float64] | float = np.inf
        self.high: NDArray[np.float64] | float = -np.inf

    def add(self, block: Array) -> None:
        """Add training points (n, features)."""
        if len(block):
            values = block.astype(np.float64)
            if self._origin is None:  # near the mean, so that small differences are exact
                self._origin = values[0].copy()
            self._scaler.partial_fit(values - self._origin)
            self.add_range(block)

    def add_range(self, block: Array) -> None:
        """Add points of which only the range counts."""
        if len(block):
            self.low = np.minimum(self.low, block.min(axis=0).astype(np.float64))
            self.high = np.maximum(self.high, block.max(axis=0).astype(np.float64))

    def of(self, kept: NDArray[np.bool_]) -> Self:
        """Return the moments of some of the features."""
        found = copy.copy(self)
        found._scaler = copy.copy(self._scaler)
        found._origin = None if self._origin is None else self._origin[kept]
        for name in ("mean_", "var_"):
            setattr(found._scaler, name, getattr(self._scaler, name)[kept])
        found.low, found.high = np.asarray(self.low)[kept], np.asarray(self.high)[kept]
        return found

    def scaling(self, rule: str, segments: Segments) -> Scaling:
        """Return the scaling by a rule that needs nothing else."""
        mean, variance = self._scaler.mean_ + self._origin, self._scaler.var_
        measured = _measured(segments, len(mean))
        if rule == "none" or (rule == "range" and not measured.any()):
            return Scaling(np.zeros(()), np.ones(()))
        if rule == "range":
            low = float(np.min(np.asarray(self.low)[measured]))
            width = float(np.max(np.asarray(self.high)[measured])) - low or 1.0
            if measured.all():
                return Scaling(np.asarray(low), np.asarray(width))
            return Scaling(np.where(measured, low, 0.0), np.where(measured, width, 1.0))
        unit = _root(variance[measured].mean()) if rule == "unit" and measured.any() else None
        scale = np.ones(len(mean))
        for kind, start, stop in segments or ((NUMBER, 0, len(mean)),):
            if kind in (NUMBER, CODE):
                deviation = np.sqrt(variance[start:stop])
                scale[start:stop] = unit or np.where(deviation > 0, deviation, 1.0)
            elif kind == VECTOR:
                scale[start:stop] = unit or _root(variance[start:stop].mean())
            else:
                scale[start:stop] = {CATEGORY: np.sqrt(2), INDICATOR: 1.0}[kind] / _APART
        return Scaling(mean, scale)


def _log1p(flat: Array, segments: Segments) -> Scaling:
    measured = _measured(segments, flat.shape[1], (NUMBER, VECTOR))
    totals = np.zeros(len(flat))
    for rows in blocks(flat):
        counts = flat[rows][:, measured]
        if counts.size and counts.min() < 0:
            raise DataError(
                f"--scale log1p is for counts, but the data hold {counts.min():g}: use another "
                "--scale, or leave out columns with negative values with --drop"
            )
        totals[rows] = counts.sum(axis=1, dtype=np.float64)
    size = float(np.median(totals)) or 1.0
    logged = Scaling(np.zeros(()), np.ones(()), measured, size)
    moments = Moments()
    for rows in blocks(flat):
        moments.add(logged.linear(flat[rows]))
    found = moments.scaling("standard", segments)
    return Scaling(found.shift, found.scale, measured, size)


def _robust(flat: Array, segments: Segments) -> Scaling:
    moments = Moments()
    for rows in blocks(flat):
        moments.add(flat[rows])
    plain = moments.scaling("standard", segments)
    shift, scale = plain.shift.copy(), plain.scale.copy()
    for kind, start, stop in segments or ((NUMBER, 0, flat.shape[1]),):
        if kind in (NUMBER, CODE):
            values = flat[:, start:stop].astype(np.float64)
            low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
            tied = (values == median).mean(axis=0) >= _TIED
            shift[start:stop] = median
            quartiles = (high - low) / _NORMAL_RANGE
            trimmed = _trimmed(values, scale[start:stop])
            scale[start:stop] = np.where(tied | (quartiles <= 0), trimmed, quartiles)
    return Scaling(shift, scale, limit=_LIMIT)


def _trimmed(values: Array, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviations of columns whose outer 5 % are brought to the quantiles.

    Where these are 0, return the others.
    """
    deviation = values.clip(*np.quantile(values, [0.05, 0.95], axis=0)).std(axis=0)
    return np.where(deviation > 0, deviation, otherwise)


def shaped(scaling: Scaling, point: Shape) -> Scaling:
    """Return a scaling of flat points for points of a shape."""
    if scaling.shift.ndim == 0 or len(point) == 1:
        return scaling
    shift, scale = scaling.shift.reshape(point), scaling.scale.reshape(point)
    return Scaling(shift, scale, limit=scaling.limit)


def _measured(
    segments: Segments, features: int, kinds: tuple[str, ...] = (NUMBER, CODE, VECTOR)
) -> NDArray[np.bool_]:
    """Return which features are of some kinds, by default measurements."""
    measured = np.ones(features, np.bool_)
    for kind, start, stop in segments:
        measured[start:stop] = kind in kinds
    return measured


def _root(variance: float) -> float:
    return float(np.sqrt(variance)) if variance > 0 else 1.0


def fit_inferred(
    train: Array, unit: float | None, widths: Sequence[int] = ()
) -> tuple[Scaling, str]:
    """Return the scaling and its rule as guessed from type and extremes, by earlier versions.

    Data with a known `unit` are divided by it, values within [0, 1] are kept, bytes are divided by
    255, and all other features get mean 0 and variance 1. `widths` are the numbers of features of
    a table's columns if some of these are vectors.
    """
    if unit is not None:
        return known_unit(unit)
    if train.min() >= 0 and train.max() <= 1:
        return Scaling(np.zeros(()), np.ones(())), "as it is"
    if train.dtype == np.uint8:
        return known_unit(255.0)
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


def known_unit(unit: float) -> tuple[Scaling, str]:
    """Return the scaling of data whose source says what divides them, and its rule."""
    return Scaling(np.zeros(()), np.asarray(unit)), f"divided by {unit:g}"
