"""Reads files of points, and writes tables of predicted clusters and pictures of samples."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import Preparation, checks
from ..data.formats import files
from ..data.table.columns import VECTOR
from ..errors import DataError, UsageError
from ..small_files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

    from ..data import Dataset
    from ..training.saved_model import Model

TABLES = (".parquet", ".csv")
SAMPLES = (".png", ".npy", *TABLES)
_MAX_COLUMNS = 12


class FilePoints(NamedTuple):
    """The raw points of a file, in its order, and messages about how it was read.

    Where the file names its rows, `names` are those of the points under a heading.
    """

    points: Any
    messages: tuple[str, ...]
    heading: str = ""
    names: tuple[str, ...] = ()


def read_points(
    path: Path,
    *,
    labels: str | None,
    layer: str | None = None,
    header: bool | None = None,
    trained_layer: str | None = None,
) -> FilePoints:
    """Return the raw points of a file, those of a published test part last.

    `labels` names a column to leave out. The layer of an AnnData file is by default the one that
    the model was trained on.
    """
    if layer is None and path.suffix.lower() == ".h5ad":
        layer = trained_layer
    content = files.read(path, labels, Preparation(layer=layer, header=header))
    messages = (
        *(f"note: {note}" for note in content.notes),
        *(f"warning: {warning}" for warning in content.warnings),
    )
    if not isinstance(content.x, np.ndarray):
        return FilePoints(content.x, messages)
    where = checks.shown(path)
    x = _points(content.x, where)
    if len(x) == 0:
        raise DataError(f"{where} contains no points: give at least one")
    if content.x_test is not None:
        test = _points(content.x_test, where)
        checks.require_compatible(x, test, where)
        messages = (*messages, f"note: {len(x):,} training points, then {len(test):,} test points")
        x = np.concatenate([x, test])
    points = {name: x[:, i] for i, name in enumerate(content.columns)} if content.columns else x
    return FilePoints(points, messages, content.row_heading, content.row_names)


def _points(x: NDArray[Any], where: str) -> NDArray[Any]:
    checks.require_points(x.dtype, x.shape, where)
    return checks.native(x)


def check_ending(path: Path, endings: tuple[str, ...]) -> None:
    """Raise unless an output file has one of the endings and is not a folder."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"--out {str(path)!r} must end in {' or '.join(endings)}")
    if os.path.isdir(path):  # unlike the method of Path, it takes names that are too long
        raise UsageError(f"--out {str(path)!r} is a folder: choose a file in it")


def write_table(
    path: Path,
    read: FilePoints,
    clusters: NDArray[np.int64],
    *,
    proba: NDArray[Any] | None = None,
    codes: NDArray[Any] | None = None,
) -> None:
    """Write a row for each point as Parquet or CSV.

    Its columns are the name of the row where the file has one, `cluster`, `probability_k` per
    cluster, and `code_d` per dimension of the codes.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {read.heading: list(read.names)} if read.names else {}
    columns["cluster"] = clusters
    for name, values in (("probability", proba), ("code", codes)):
        if values is not None:
            flat = values.reshape(len(values), -1)
            columns |= {f"{name}_{k}": column for k, column in enumerate(flat.T)}
    table, ending = pa.table(columns), path.suffix.lower()
    write_atomically(path, lambda temporary: _write_arrow(table, temporary, ending))


def draw_samples(
    model: "Model", path: Path, *, cluster: int | None, n: int, seed: int
) -> NDArray[np.float32]:
    """Sample n points of one cluster, or of each, and write them as a picture, array or table.

    A table has the cluster of each point as its first column, then the columns of the training
    data. Returns the samples as numbers (clusters, n, *shape).
    """
    clusters = range(model.n_components) if cluster is None else [cluster]
    columns = getattr(model.preprocessor.encoder, "columns", ())
    if path.suffix.lower() == ".csv" and any(column.kind == VECTOR for column in columns):
        raise UsageError(
            f"--out {str(path)!r}: a .csv file cannot hold vectors: choose one that ends in "
            ".parquet"
        )
    raw = [model.sample(k, n, seed) for k in clusters]
    samples = np.stack([model.preprocessor.encode(one) for one in raw])
    ending = path.suffix.lower()
    if ending in TABLES:
        table = _sample_table(raw, list(clusters))
        write_atomically(path, lambda temporary: _write_arrow(table, temporary, ending))
    elif ending == ".npy":
        arrays = np.stack(raw) if isinstance(raw[0], np.ndarray) else samples
        points = arrays if cluster is None else arrays[0]
        write_atomically(path, lambda temporary: _save_npy(temporary, points))
    else:
        write_atomically(path, lambda temporary: _plot(temporary, samples, cluster))
    return samples


def draw_plane(dataset: "Dataset", path: Path) -> None:
    """Write a picture of the first two principal components, coloured by label if known."""
    from ..data.overview import plane
    from ..reports import plots

    points, labels = plane(dataset)
    figure = plots.plane(
        points, labels, dataset.label_names, title=f"{dataset.name}, {len(points):,} points"
    )
    write_atomically(path, lambda temporary: plots.save(figure, temporary))


def _sample_table(raw: list[Any], clusters: list[int]) -> "pa.Table":
    """Return samples of several clusters as one table."""
    import pandas as pd
    import pyarrow as pa

    columns = getattr(raw[0], "columns", ())
    name = "cluster" if "cluster" not in columns else "sampled_cluster"
    frames = []
    for k, points in zip(clusters, raw, strict=True):
        if isinstance(points, np.ndarray):
            flat = points.reshape(len(points), -1)
            points = pd.DataFrame(flat, columns=list(map(str, range(flat.shape[1]))))
        frames.append(points.assign(**{name: k}))
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, name, table.pop(name))
    return pa.Table.from_pandas(table, preserve_index=False)


def _write_arrow(table: "pa.Table", path: Path, ending: str) -> None:
    from pyarrow import csv, parquet

    write = parquet.write_table if ending == ".parquet" else csv.write_csv
    write(table, str(path))


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
