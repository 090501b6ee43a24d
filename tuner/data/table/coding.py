"""The features of one column of a table, and back to its cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..scaling import Array
from .cells import listing
from .columns import BOOLEAN, CATEGORY, CONSTANT, ORDINAL, VECTOR, Column


def coded(texts: Array, column: Column) -> NDArray[np.float64]:
    """Return categories (N,) as one feature each, or as places in their order."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    unknown = ~np.isin(texts.astype(str), column.categories)
    if unknown.any():
        row = int(unknown.argmax())
        raise DataError(
            f"column {column.name!r} holds {texts[row]!r} in row {row} (counted from 0), which "
            f"was not in the training data: use one of {listing(column.categories)}"
        )
    categories = [np.array(column.categories, object)]
    if column.kind == ORDINAL:
        encoder = OrdinalEncoder(categories=categories)
    else:
        encoder = OneHotEncoder(categories=categories, sparse_output=False)
    return np.asarray(encoder.fit_transform(texts[:, None]), np.float64)


def vectors(values: Any, column: Column) -> NDArray[np.float64]:
    """Return a column of vectors of the width that it had as (N, width)."""
    try:
        found = np.asarray(
            values if isinstance(values, np.ndarray) and values.ndim == 2 else list(values),
            np.float64,
        )
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 2 or found.shape[1] != column.width:
        raise DataError(
            f"column {column.name!r} does not hold vectors of {column.width} numbers: give one "
            "per row"
        )
    return found


def decoded(features: Array, column: Column) -> Array:
    """Return the cells (N,), or vectors (N, width), that have these features."""
    if column.kind == CONSTANT:
        return np.full(len(features), column.value)
    if column.kind == VECTOR:
        return features
    if column.kind == CATEGORY:
        return np.asarray(np.array(column.categories, object)[features.argmax(axis=1)])
    if column.kind == ORDINAL:
        places = features[:, 0].round().clip(0, len(column.categories) - 1).astype(np.int64)
        return np.asarray(np.array(column.categories, object)[places])
    return np.asarray(features[:, 0] >= 0.5 if column.kind == BOOLEAN else features[:, 0])


def gap(column: Column, values: Array) -> tuple[Any, Array]:
    """Return a missing cell of a column and its values, in a type that holds both."""
    if column.kind in (CATEGORY, ORDINAL):
        return None, values
    return np.nan, values.astype(np.float32)
