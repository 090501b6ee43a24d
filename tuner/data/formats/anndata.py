"""Reads AnnData files (.h5ad), with the optional package anndata."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, UsageError, did_you_mean
from .. import checks
from ..content import Content
from ..preparation import Preparation
from ..scaling import Array
from ..table import cells
from .csv_tables import classes


def read_h5ad(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the observations of an AnnData file with its variables as columns.

    These are X, or the layer that the preparation names. `labels` names a column of obs.
    """
    try:
        import anndata
    except ModuleNotFoundError:
        raise UsageError(
            f"{where} needs the package anndata, which is not installed: install tuner[h5ad]"
        ) from None
    try:
        data = anndata.read_h5ad(path, backed="r")
    except Exception as error:  # h5py and anndata raise errors of many types
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{where} is truncated, damaged or not an AnnData file ({reason}): save it again"
        ) from error
    try:
        matrix = _matrix(data, preparation.layer, where)
        checks.require_points(np.dtype(matrix.dtype), matrix.shape, where)
        checks.require_memory(matrix.shape[0] * matrix.shape[1], matrix.dtype.itemsize, where)
        y = None if labels is None else _labels(data.obs, labels, where)
        names = tuple(map(str, data.var_names))
        cells.require_unique(names, where)
        return Content(_dense(matrix), y, columns=names, label_column=labels or "")
    finally:
        data.file.close()


def _matrix(data: Any, layer: str | None, where: str) -> Any:
    if layer is None:
        if "X" not in data.file:
            raise DataError(f"{where} has no X: name one of its layers with --layer")
        return data.X
    if layer not in data.layers:
        known = list(data.layers)
        raise DataError(
            f"--layer {layer}: {where} has no such layer{did_you_mean(layer, known)}; it has "
            f"{', '.join(known) or 'none'}: name one of these, or leave out --layer for X"
        )
    return data.layers[layer]


def _dense(matrix: Any) -> Array:
    """Return all values of a matrix, which may be sparse or not yet read."""
    read = (
        matrix[:]
        if not hasattr(matrix, "toarray") and not isinstance(matrix, np.ndarray)
        else matrix
    )
    return np.asarray(read.toarray() if hasattr(read, "toarray") else read)


def _labels(obs: Any, labels: str, where: str) -> Array:
    if labels not in obs.columns:
        raise DataError(
            f"obs of {where} has no column {labels!r} for labels"
            f"{did_you_mean(labels, obs.columns)}; it has {', '.join(obs.columns) or 'none'}: "
            "name one of these"
        )
    return classes(obs[labels], labels, where)
