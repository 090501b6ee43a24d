"""Reads AnnData files (.h5ad), with the optional package anndata."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, TunerError, UsageError, did_you_mean
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
            f"{where} needs the package anndata, which is not installed: pip install anndata"
        ) from None
    with _reading(where):
        _require_own_data(path, where)
        data = anndata.read_h5ad(path, backed="r")
        try:
            matrix = _matrix(data, preparation.layer, where)
            checks.require_points(np.dtype(matrix.dtype), matrix.shape, where)
            checks.require_memory(matrix.shape[0] * matrix.shape[1], matrix.dtype.itemsize, where)
            y = None if labels is None else _labels(data.obs, labels, where)
            names = tuple(map(str, data.var_names))
            cells.require_unique(names, where)
            rows = tuple(map(str, data.obs_names))
            return Content(
                _dense(matrix),
                y,
                columns=names,
                label_column=labels or "",
                row_heading="observation",
                row_names=rows,
            )
        finally:
            data.file.close()


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn errors while a file is read into one DataError; the system's stay as they are."""
    try:
        yield
    except (TunerError, MemoryError):
        raise
    except Exception as error:  # h5py and anndata raise errors of many types
        if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{where} is truncated, damaged or not an AnnData file ({reason}): save it again"
        ) from error


def _require_own_data(path: Path, where: str) -> None:
    """Raise DataError if parts of a file are kept in other files, which would be read as well."""
    import h5py

    def require(name: str, link: Any) -> None:
        target = getattr(link, "filename", None)
        if target is not None:
            raise DataError(
                f"{where} takes {name!r} from the file {target!r}: copy all data into one file"
            )

    def require_stored(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and (entry.is_virtual or entry.external):
            raise DataError(f"{where} keeps {name!r} in other files: copy all data into one file")

    with h5py.File(path, "r") as file:
        file.visititems_links(require)
        file.visititems(require_stored)


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
