"""Checks of raw data. Every error names the value, what is allowed and what to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import DataError
from .scaling import Array, Shape, blocks
from .table.profile import MAX_VALUE

_GIB = 2**30


def shown(path: Path) -> str:
    """Return the path for an error message, on one line even if it contains line breaks."""
    return str(path) if str(path).isprintable() else repr(str(path))


def require_points(dtype: np.dtype[Any], shape: Shape, where: str) -> None:
    """Raise unless an array of this type and shape can be points, (N, features) or images."""
    if dtype.kind not in "biuf":
        kind = "structured" if dtype.names else "text" if dtype.kind in "US" else str(dtype)
        raise DataError(
            f"{where} holds {kind} values, not numbers: save it as an array of floats or integers"
        )
    if not 2 <= len(shape) <= 4 or 0 in shape[1:]:
        raise DataError(
            f"{where} has the shape {shape}: use (points, features), (points, height, width) or "
            "(points, channels, height, width), each at least 1"
        )


def require_labels(dtype: np.dtype[Any], where: str) -> None:
    """Raise unless an array of this type can be labels: numbers or strings."""
    if dtype.kind not in "biufUS":
        raise DataError(
            f"{where} holds labels of type {dtype}: give one integer or string per point"
        )


def require_memory(values: int, itemsize: int, where: str) -> None:
    """Raise unless there is memory to read and scale `values` numbers of `itemsize` bytes."""
    import psutil  # not needed to load the datasets that have a name

    needed = values * (2 * itemsize + np.dtype(np.float32).itemsize)
    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{where} needs {needed / _GIB:.3g} GiB of memory but {free / _GIB:.3g} GiB are free: "
            "use a sample of its points or a larger machine"
        )


def points(x: Array, where: str, columns: tuple[str, ...]) -> Array:
    """Return points as `native` finite numbers, or raise DataError with the first that is not."""
    require_points(x.dtype, x.shape, where)
    x = native(x)
    for rows in blocks(x) if x.dtype.kind == "f" else ():
        usable = np.abs(x[rows]) <= MAX_VALUE  # false for NaN as well
        if not usable.all():
            row, *index = np.argwhere(~usable)[0].tolist()
            _raise_unusable(x[rows][(row, *index)], rows.start + row, index, where, columns)
    return x


def native(x: Array) -> Array:
    """Return numbers as a contiguous array in native byte order, of a type that torch knows.

    Booleans become bytes and half precision becomes single precision.
    """
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    elif x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):  # the caller refuses infinite values
            x = x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))


def one_array(x: Array | Mapping[str, Any]) -> Array:
    """Return points (N, F) of columns of numbers (N,) or (N, width), in their common type."""
    if isinstance(x, np.ndarray):
        return x
    columns = [np.asarray(values) for values in x.values()]
    kind = np.result_type(*[column.dtype for column in columns])
    return np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1, dtype=kind)


def smallest_type(x: Array) -> np.dtype[Any]:
    """Return the first of uint8, float32 and float64 that holds all numbers exactly."""
    for kind in (np.uint8, np.float32):
        if x.dtype == kind or all(_is_exact(x[rows], kind) for rows in blocks(x)):
            return np.dtype(kind)
    return np.dtype(np.float64)


def _is_exact(x: Array, kind: type[np.generic]) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool((x.astype(kind) == x).all())


def require_clusters(x: Array, where: str) -> None:
    """Raise unless at least two of the points (N, *shape) differ."""
    if len(x) < 2:
        count = "no points" if len(x) == 0 else "a single point"
        raise DataError(f"{where} has {count}: give at least 2, preferably hundreds")
    if all((x[rows] == x[0]).all() for rows in blocks(x)):
        raise DataError(
            f"all {len(x)} points of {where} are equal, so there is nothing to cluster: "
            "provide points that differ"
        )


def require_compatible(train: Array, test: Array, where: str) -> None:
    """Raise unless the test points have the shape of the training points."""
    if len(test) == 0:
        raise DataError(f"the test part of {where} has no points: add some or leave it out")
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{where} has training points of shape {train.shape[1:]} but test points of shape "
            f"{test.shape[1:]}: give both the same shape"
        )


def labels(y: Array, n: int, where: str) -> Array:
    """Return the labels of n points, shape (n,), as numbers or strings."""
    require_labels(y.dtype, where)
    if y.shape != (n,):
        raise DataError(
            f"{where} holds labels of shape {y.shape} for {n} points: give one label per point, "
            f"shape ({n},)"
        )
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "replace")
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(n, np.bool_)
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"{where} has the label {y[row]} in row {row}: give every point a label, or leave out "
            "all labels"
        )
    return y


def _raise_unusable(
    value: Any, row: int, index: list[int], where: str, columns: tuple[str, ...]
) -> NoReturn:
    if columns:
        position = f"column {columns[index[0]]!r}"
    elif len(index) == 1:
        position = f"column {index[0]}"
    else:
        position = f"position {tuple(index)}"
    raise DataError(
        f"{where} holds {value:g} in row {row}, {position} (counted from 0), which is not a "
        f"finite number of at most {MAX_VALUE:g}: fill it in or remove the row"
    )
