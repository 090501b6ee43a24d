"""The commands that promote registered models and apply them to data."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import UsageError
from . import completion, values
from .data_options import Header, Layer
from .options import SWITCH, Json, Storage, Tracking
from .output import log, show, show_json

if TYPE_CHECKING:
    from ..training.saved_model import Model

_BYTES_PER_VALUE = 40  # of a sample: as drawn, in raw units, encoded and in a table

ModelName = Annotated[
    str,
    Argument(
        metavar="NAME",
        help="Name of the registered model.",
        autocompletion=completion.models,
        show_default=False,
    ),
]
Number = Annotated[
    int,
    Argument(
        metavar="VERSION",
        help="Version number.",
        autocompletion=completion.versions,
        show_default=False,
    ),
]
Source = Annotated[
    str,
    Argument(
        metavar="MODEL",
        help="Registered model (models:/NAME@champion or models:/NAME/3) or folder of a model.",
        autocompletion=completion.model_uris,
        show_default=False,
    ),
]
File = Annotated[
    Path,
    Argument(
        metavar="FILE",
        help="Raw points: a .npy, .npz, .csv, .parquet, .arrow, .feather or .h5ad file, or a "
        "folder of images.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, Option("--force", metavar=SWITCH, help="Promote without comparing to the champion.")
]
Table = Annotated[
    Path, Option("--out", "-o", metavar="FILE", help="Output file, .parquet or .csv.")
]
Proba = Annotated[
    bool, Option("--proba", metavar=SWITCH, help="Also write the probability of each cluster.")
]
Codes = Annotated[
    bool, Option("--codes", metavar=SWITCH, help="Also write the codes, as embed returns them.")
]
LabelColumn = Annotated[
    str | None,
    Option("--labels", metavar="COLUMN", help="Column of FILE to ignore, such as labels."),
]
Cluster = Annotated[
    int | None,
    Option("--cluster", "-k", metavar="K", help="Cluster to sample from.", show_default="all"),
]
Points = Annotated[
    int | None,
    Option("-n", metavar="N", help="Points per cluster.", show_default="64, or 12 for all"),
]
SampleSeed = Annotated[
    int, Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Random seed.")
]
Picture = Annotated[
    Path,
    Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Output file: .png for a picture; .npy, .csv or .parquet for the points.",
    ),
]


def promote(
    name: ModelName,
    version: Number,
    force: Force = False,
    storage: Storage = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Promote a version to champion if it is clearly better than the current one."""
    from ..registry.promotion import promote as promote_version

    locations = values.locations(storage, tracking, None)
    reason = promote_version(
        name,
        version,
        tracking_uri=locations.tracking_uri,
        storage=locations.storage,
        force=force,
    )
    if json:
        show_json({"name": name, "version": version, "promoted": True, "reason": reason})
    else:
        show(f"{name} version {version} is the champion: {reason}")


def rollback(name: ModelName, tracking: Tracking = None, json: Json = False) -> None:
    """Restore the previous champion."""
    from ..registry.promotion import open_registry

    registry = open_registry(values.tracking_uri(tracking), name)
    registry.versions(name)  # an unknown model is refused before it is locked
    champion = registry.rollback(name)
    if json:
        show_json({"name": name, "version": champion.number, "aliases": list(champion.aliases)})
    else:
        show(f"{name} version {champion.number} is the champion again")


def predict(
    model: Source,
    file: File,
    out: Table = Path("predictions.parquet"),
    proba: Proba = False,
    codes: Codes = False,
    labels: LabelColumn = None,
    layer: Layer = None,
    header: Header = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Predict the cluster of each point in a file, and with --codes embed them."""
    from ..orchestration import prediction

    prediction.check_ending(out, prediction.TABLES)
    from ..registry import load

    loaded = load(model, tracking_uri=values.tracking_uri(tracking))
    read = prediction.read_points(
        file,
        labels=labels,
        layer=layer,
        header=header,
        trained_layer=getattr(loaded.preprocessor.encoder, "layer", None),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clusters = loaded.predict(read.points)
    for message in (*read.messages, *(f"warning: {one.message}" for one in caught)):
        log(message)
    prediction.write_table(
        out,
        read,
        clusters,
        proba=loaded.predict_proba(read.points) if proba else None,
        codes=loaded.embed(read.points) if codes else None,
    )
    counts = [int((clusters == k).sum()) for k in range(loaded.n_components)]
    if json:
        show_json({"out": str(out), "points": len(clusters), "clusters": counts})
    else:
        sizes = ", ".join(f"{k}: {count:,}" for k, count in enumerate(counts))
        show(f"wrote {len(clusters):,} points to {out}; points per cluster: {sizes}")


def sample(
    model: Source,
    cluster: Cluster = None,
    n: Points = None,
    seed: SampleSeed = 0,
    out: Picture = Path("samples.png"),
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Sample new points from one cluster or from all clusters."""
    from ..orchestration import prediction

    prediction.check_ending(out, prediction.SAMPLES)
    from ..registry import load

    loaded = load(model, tracking_uri=values.tracking_uri(tracking))
    count = (64 if cluster is not None else 12) if n is None else n
    _require_memory(count, loaded, cluster)
    drawn = prediction.draw_samples(loaded, out, cluster=cluster, n=count, seed=seed)
    if json:
        show_json({"out": str(out), "shape": list(drawn.shape)})
    else:
        show(f"wrote {drawn.shape[0] * drawn.shape[1]:,} points to {out}")


def _require_memory(n: int, model: "Model", cluster: int | None) -> None:
    """Raise UsageError unless there is memory to draw n points of one or of all clusters."""
    import math

    import psutil

    values = n * (model.n_components if cluster is None else 1) * math.prod(model.shape)
    needed, free = _BYTES_PER_VALUE * values, psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"-n {n}: the points need {needed / 2**30:.3g} GiB of memory but {free / 2**30:.3g} "
            "are free: draw fewer points"
        )
