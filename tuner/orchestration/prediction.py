"""Reads files of points, and writes tables of predicted clusters and pictures of samples."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import checks, files
from ..errors import DataError, DiskError, UsageError

if TYPE_CHECKING:
    from ..training.saved_model import Model

TABLES = (".parquet", ".csv")
PICTURES = (".png", ".npy")
_MAX_COLUMNS = 12


def read_points(path: Path, *, labels: str | None) -> NDArray[Any]:
    """Return the unscaled points of a file, in its order; `labels` names a column to leave out."""
    content = files.read(path, labels)
    points = checks.points(content.x, checks.shown(path), content.columns)
    if len(points) == 0:
        raise DataError(f"{checks.shown(path)} contains no points: give at least one")
    return points


def check_ending(path: Path, endings: tuple[str, ...]) -> None:
    """Raise unless an output file has one of the endings and is not a folder."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"--out {str(path)!r} must end in {' or '.join(endings)}")
    if path.is_dir():
        raise UsageError(f"--out {str(path)!r} is a folder: choose a file in it")


def write_table(path: Path, clusters: NDArray[np.int64], proba: NDArray[Any] | None) -> None:
    """Write the column `cluster`, and `probability_k` per cluster, as Parquet or CSV."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    columns = {"cluster": clusters}
    if proba is not None:
        columns |= {f"probability_{k}": column for k, column in enumerate(proba.T)}
    table = pa.table(columns)
    write = parquet.write_table if path.suffix.lower() == ".parquet" else csv.write_csv
    _write_atomically(path, lambda temporary: write(table, str(temporary)))


def draw_samples(
    model: "Model", path: Path, *, cluster: int | None, n: int, seed: int
) -> NDArray[np.float32]:
    """Sample n points of one cluster, or of each, and write them as a picture or .npy file.

    Returns the samples (clusters, n, *shape).
    """
    clusters = range(model.n_components) if cluster is None else [cluster]
    samples = np.stack([model.sample(k, n, seed) for k in clusters])
    if path.suffix.lower() == ".npy":
        points = samples if cluster is None else samples[0]
        _write_atomically(path, lambda temporary: _save_npy(temporary, points))
    else:
        _write_atomically(path, lambda temporary: _plot(temporary, samples, cluster))
    return samples


def _plot(path: Path, samples: NDArray[np.float32], cluster: int | None) -> None:
    """Plot clusters as rows and a single one as a grid; scatter samples of two features."""
    from ..reports import plots

    K, n = samples.shape[:2]
    if samples[0, 0].size == 2:
        numbers = np.repeat(np.arange(K) if cluster is None else [cluster], n)
        plots.save(plots.scatter(samples.reshape(-1, 2), numbers), path)
        return
    if cluster is not None:
        samples = _grid(samples[0])
    figure = plots.samples(samples)
    if cluster is not None:  # the rows are not clusters, so they need no labels
        for axes in figure.axes:
            axes.set_yticks([])
            axes.set_ylabel("")
        figure.supylabel("")
        figure.axes[0].set_title(f"cluster {cluster}", fontsize=9)
    plots.save(figure, path)


def _grid(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points (n, *shape) as rows of equal length.

    They are padded with their maximum, which is drawn white.
    """
    columns = min(_MAX_COLUMNS, math.ceil(math.sqrt(len(points))))
    rows = -(-len(points) // columns)
    blank = np.full((rows * columns - len(points), *points.shape[1:]), points.max())
    return np.concatenate([points, blank]).reshape(rows, columns, *points.shape[1:])


def _save_npy(path: Path, points: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        np.save(file, points)


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside the path, then rename it to the path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskError(
            f"cannot write {path} ({reason}): choose an existing folder that can be written to"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
