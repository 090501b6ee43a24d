"""Files of points in, tables of clusters and pictures of them out."""

import math
import os
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
_WIDEST = 12


def read_points(path: Path, *, labels: str | None) -> NDArray[Any]:
    """Return the raw points of a file, in its order; `labels` is a column that is no feature."""
    content = files.read(path, labels)
    points = checks.points(content.x, checks.shown(path), content.columns)
    if len(points) == 0:
        raise DataError(f"{checks.shown(path)} holds no points: give at least one")
    return points


def check_ending(path: Path, endings: tuple[str, ...]) -> None:
    """Raise unless a file that is to be written ends in what can be written."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"--out {str(path)!r}: let the name end in {' or '.join(endings)}")
    if path.is_dir():
        raise UsageError(f"--out {str(path)!r} is a folder: name a file in it")


def write_table(path: Path, clusters: NDArray[np.int64], proba: NDArray[Any] | None) -> None:
    """Write a column `cluster`, and `probability_k` for each, as Parquet or CSV, whole or not."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    columns = {"cluster": clusters}
    if proba is not None:
        columns |= {f"probability_{k}": column for k, column in enumerate(proba.T)}
    table = pa.table(columns)
    write = parquet.write_table if path.suffix.lower() == ".parquet" else csv.write_csv
    _replace(path, lambda part: write(table, str(part)))


def draw_samples(
    model: "Model", path: Path, *, cluster: int | None, n: int, seed: int
) -> NDArray[np.float32]:
    """Draw n new points of a cluster, or of each, into a picture or a .npy; return the points."""
    wanted = range(model.n_components) if cluster is None else [cluster]
    drawn = np.stack([model.sample(k, n, seed) for k in wanted])
    if path.suffix.lower() == ".npy":
        points = drawn if cluster is None else drawn[0]
        _replace(path, lambda part: _save(part, points))
    else:
        _replace(path, lambda part: _picture(part, drawn, cluster))
    return drawn


def _picture(path: Path, drawn: NDArray[np.float32], cluster: int | None) -> None:
    """Draw clusters as rows; a single one as a square, and points in the plane as points."""
    from ..reports import plots as pictures

    K, n = drawn.shape[:2]
    if drawn[0, 0].size == 2:
        numbers = np.repeat(np.arange(K) if cluster is None else [cluster], n)
        pictures.save(pictures.scatter(drawn.reshape(-1, 2), numbers), path)
        return
    if cluster is not None:
        drawn = _square(drawn[0])
    figure = pictures.samples(drawn)
    if cluster is not None:  # its rows are not clusters
        for axes in figure.axes:
            axes.set_yticks([])
            axes.set_ylabel("")
        figure.supylabel("")
        figure.axes[0].set_title(f"cluster {cluster}", fontsize=9)
    pictures.save(figure, path)


def _square(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points (n, *shape) as rows of equal length, filled up with what is drawn white."""
    columns = min(_WIDEST, math.ceil(math.sqrt(len(points))))
    rows = -(-len(points) // columns)
    blank = np.full((rows * columns - len(points), *points.shape[1:]), points.max())
    return np.concatenate([points, blank]).reshape(rows, columns, *points.shape[1:])


def _save(path: Path, points: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        np.save(file, points)


def _replace(path: Path, write: Any) -> None:
    """Write a file beside its place and rename it, so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskError(
            f"cannot write {path} ({reason}): choose a folder that exists and can be written"
        ) from None
    finally:
        part.unlink(missing_ok=True)
