"""Arrays of numbers from whatever users give as points of one shape."""

import math
from typing import Any

import numpy as np

from ..errors import DataError
from .scaling import Array, Shape
from .table.cells import listing


def numeric_array(raw: Any, point: Shape, names: tuple[str, ...] = ()) -> Array:
    """Return raw data of shape (N, *point), flat, or up to axes of length 1, as numbers."""
    try:
        if isinstance(raw, np.ma.MaskedArray):
            raw = np.ma.filled(raw.astype(np.float64), np.nan)
        points = np.asarray(raw)
        if points.dtype == object:  # such as a data frame of nullable numbers
            points = points.astype(np.float64)
    except (TypeError, ValueError):
        kind = "ragged data" if isinstance(raw, list | tuple) else "data that are not numbers"
        raise DataError(f"{kind}: give {_allowed(point, names)}") from None
    if points.dtype.kind not in "buif":
        raise DataError(
            f"data of type {points.dtype} are not numbers: give {_allowed(point, names)}"
        )
    if not _fits(points.shape, point):
        raise DataError(
            f"data of shape {points.shape} do not fit the model: give {_allowed(point, names)}"
        )
    return points.reshape(len(points), -1)


def _fits(given: Shape, shape: Shape) -> bool:
    """Return whether `given` is (N, *shape) with N > 0, flattened or up to axes of length 1."""
    if len(given) < 2 or given[0] == 0:
        return False
    flat = given[1:] == (math.prod(shape),)
    return flat or [s for s in given[1:] if s > 1] == [s for s in shape if s > 1]


def _allowed(point: Shape, names: tuple[str, ...]) -> str:
    if names:
        return f"a table with the columns {listing(names)}, or numbers of shape (N, {point[0]})"
    shaped = "".join(f", {size}" for size in point)
    flat = "" if len(point) == 1 else f" or (N, {math.prod(point)})"
    return f"numbers of shape (N{shaped}){flat}"
