"""What may be data: every refusal names the value, what is allowed and what to do."""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil

from ..errors import DataError
from .scaling import Array, Shape, blocks

_LARGEST = 1e37  # a tenth of what float32 holds, so that scaled data can be put back in raw units
_GIB = 2**30


def shown(path: Path) -> str:
    """Return the path as error sentences show it, on one line whatever it holds."""
    return str(path) if str(path).isprintable() else repr(str(path))


def require_points(dtype: np.dtype[Any], shape: Shape, where: str) -> None:
    """Raise unless an array of this type and shape can be points: (N, features) or images."""
    if dtype.kind not in "biuf":
        kind = "structured" if dtype.names else "text" if dtype.kind in "US" else str(dtype)
        raise DataError(
            f"{where} holds {kind} values, not numbers: save it as an array of floats or integers"
        )
    if not 2 <= len(shape) <= 4 or 0 in shape[1:]:
        raise DataError(
            f"{where} has the shape {shape}: give (points, features), (points, height, width) or "
            "(points, channels, height, width), each at least 1"
        )


def require_labels(dtype: np.dtype[Any], where: str) -> None:
    """Raise unless an array of this type can be labels: whole numbers or texts."""
    if dtype.kind not in "biufUS":
        raise DataError(
            f"{where} holds labels of type {dtype}: give one whole number or one text a point"
        )


def require_memory(values: int, itemsize: int, where: str) -> None:
    """Raise unless `values` numbers of `itemsize` bytes can be read, split and scaled here."""
    needed = values * (2 * itemsize + np.dtype(np.float32).itemsize)
    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{where} needs {needed / _GIB:.3g} GiB of memory and {free / _GIB:.3g} GiB are free: "
            "give a sample of its points, or take a larger machine"
        )


def points(x: Array, where: str, columns: tuple[str, ...]) -> Array:
    """Return points as a contiguous array of native numbers, all finite.

    Booleans become bytes and half precision single; big-endian and Fortran order are undone.
    """
    require_points(x.dtype, x.shape, where)
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    elif x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # what float64 cannot hold is refused below
            x = x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    x = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
    for rows in blocks(x) if x.dtype.kind == "f" else ():
        usable = np.abs(x[rows]) <= _LARGEST  # false for NaN, too
        if not usable.all():
            row, *place = np.argwhere(~usable)[0].tolist()
            _refuse(x[rows][(row, *place)], rows.start + row, place, where, columns)
    return x


def require_clusters(x: Array, where: str) -> None:
    """Raise unless there are two points (N, *shape) that differ."""
    if len(x) < 2:
        counted = "no points" if len(x) == 0 else "a single point"
        raise DataError(f"{where} holds {counted}: give at least 2, better hundreds")
    if all((x[rows] == x[0]).all() for rows in blocks(x)):
        raise DataError(
            f"all {len(x)} points of {where} are equal, so there is nothing to cluster: "
            "give points that differ"
        )


def require_alike(train: Array, test: Array, where: str) -> None:
    """Raise unless published test points can be scaled and answered as the training points."""
    if len(test) == 0:
        raise DataError(f"the test part of {where} holds no points: give some, or leave it out")
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{where} has training points of shape {train.shape[1:]} and test points of shape "
            f"{test.shape[1:]}: give both the same shape"
        )
    if (train.dtype == np.uint8) != (test.dtype == np.uint8):
        raise DataError(
            f"{where} has training points of type {train.dtype} and test points of type "
            f"{test.dtype}, which are scaled in different ways: give both the same type"
        )


def labels(y: Array, n: int, where: str) -> Array:
    """Return the labels of n points, shape (n,), as numbers or texts."""
    require_labels(y.dtype, where)
    if y.shape != (n,):
        raise DataError(
            f"{where} holds labels of shape {y.shape} for {n} points: give one label a point, "
            f"shape ({n},)"
        )
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "replace")
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(n, np.bool_)
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"{where} has the label {y[row]} in row {row}: give every point a label, or leave the "
            "labels out"
        )
    return y


def _refuse(
    value: Any, row: int, place: list[int], where: str, columns: tuple[str, ...]
) -> NoReturn:
    at = f"column {columns[place[0]]!r}" if columns else f"place {tuple(place)}"
    if len(place) == 1 and not columns:
        at = f"column {place[0]}"
    raise DataError(
        f"{where} holds {value:g} in row {row}, {at} (counted from 0): every value must be a "
        f"finite number of at most {_LARGEST:g}, so fill it in or leave the row out"
    )
