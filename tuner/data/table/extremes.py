"""Values of one column that are far from all others."""

import math

from ..scaling import Array

_FAR = 20.0  # standard deviations of all but the most extreme values
_FEW = 0.002  # share of the values that a mark has at least
_FEW_FRACTIONS = 0.01  # the same for a mark that is not whole


def repeated_extreme(values: Array) -> float | None:
    """Return a value that may mean missing, None if there is none.

    It is the smallest or the largest of the sorted values (n,), is repeated, and is further away
    from the others than these are apart.
    """
    if len(values) < 13:
        return None
    sides = (
        (values[0], values[values > values[0]]),
        (values[-1], values[values < values[-1]]),
    )
    for mark, others in sides:
        count = len(values) - len(others)
        if mark == 0:  # common where there is nothing to measure
            continue
        few = _FEW if mark == round(mark) else _FEW_FRACTIONS
        if len(others) < 10 or count < max(3, few * len(values)) or 3 * count > 2 * len(values):
            continue
        bulk = _bulk(others)
        spread = bulk[-1] - bulk[0]
        gap = min(abs(mark - others[0]), abs(mark - others[-1]))
        if spread > 0 and gap > max(spread, 5 * bulk.std()):
            return float(mark)
    return None


def far_values(values: Array) -> tuple[float, int] | None:
    """Return the furthest of sorted values (n,) that are outliers, and how many there are.

    They are more than 20 standard deviations from the mean of all but the outer 2 %.
    """
    if len(values) < 30:
        return None
    bulk = _bulk(values)
    mean, deviation = bulk.mean(), bulk.std()
    if deviation == 0:
        return None
    distance = abs(values - mean) / deviation
    count = int((distance > _FAR).sum())
    return (float(values[distance.argmax()]), count) if count else None


def _bulk(values: Array) -> Array:
    """Return sorted values without the outer 2 % on either side."""
    cut = max(1, math.ceil(0.02 * len(values)))
    return values[cut:-cut]
