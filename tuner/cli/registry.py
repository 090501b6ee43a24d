"""The commands about registered models: which one counts, and what it says."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from . import values
from .options import SWITCH, Json, Storage, Tracking
from .output import show, show_json

ModelName = Annotated[
    str, Argument(metavar="NAME", help="Name of a registered model.", show_default=False)
]
Number = Annotated[int, Argument(metavar="VERSION", help="Its number.", show_default=False)]
Source = Annotated[
    str,
    Argument(
        metavar="MODEL",
        help="models:/NAME@champion, models:/NAME/3 or a folder.",
        show_default=False,
    ),
]
File = Annotated[
    Path,
    Argument(
        metavar="FILE",
        help="Raw points: .npy, .npz, .csv, .parquet, .arrow, .feather, or a folder of images.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, Option("--force", metavar=SWITCH, help="Promote without a comparison with the champion.")
]
Table = Annotated[Path, Option("--out", "-o", metavar="FILE", help=".parquet or .csv to write.")]
Proba = Annotated[
    bool, Option("--proba", metavar=SWITCH, help="Write the probability of each cluster, too.")
]
NoFeature = Annotated[
    str | None, Option("--labels", metavar="COLUMN", help="Column of FILE that is no feature.")
]
Cluster = Annotated[
    int | None,
    Option("--cluster", "-k", metavar="K", help="Cluster to draw.", show_default="all"),
]
Points = Annotated[
    int | None,
    Option("-n", metavar="N", help="Points to draw.", show_default="64, of all clusters 12 each"),
]
SampleSeed = Annotated[int, Option("--seed", metavar="N", help="What the draws follow.")]
Picture = Annotated[
    Path, Option("--out", "-o", metavar="FILE", help=".png, or .npy for the points themselves.")
]


def promote(
    name: ModelName,
    version: Number,
    force: Force = False,
    storage: Storage = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Make a version the champion if it is surely better."""
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
    """Make the champion before this one champion again."""
    from ..registry.promotion import open_registry

    now = open_registry(values.locations(None, tracking, None).tracking_uri, name).rollback(name)
    if json:
        show_json({"name": name, "version": now.number, "aliases": list(now.aliases)})
    else:
        show(f"{name} version {now.number} is the champion again")


def predict(
    model: Source,
    file: File,
    out: Table = Path("prediction.parquet"),
    proba: Proba = False,
    labels: NoFeature = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Write the cluster of every point of a file, in its order."""
    from ..orchestration import prediction

    prediction.check_ending(out, prediction.TABLES)
    points = prediction.read_points(file, labels=labels)
    from ..registry import load

    loaded = load(model, tracking_uri=values.locations(None, tracking, None).tracking_uri)
    clusters = loaded.predict(points)
    prediction.write_table(out, clusters, loaded.predict_proba(points) if proba else None)
    counts = [int((clusters == k).sum()) for k in range(loaded.n_components)]
    if json:
        show_json({"out": str(out), "points": len(clusters), "clusters": counts})
    else:
        shares = ", ".join(f"{k}: {count:,}" for k, count in enumerate(counts))
        show(f"{len(clusters):,} points to {out}; points per cluster: {shares}")


def sample(
    model: Source,
    cluster: Cluster = None,
    n: Points = None,
    seed: SampleSeed = 0,
    out: Picture = Path("samples.png"),
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Draw new points of a cluster, or of each, as a picture."""
    from ..orchestration import prediction

    prediction.check_ending(out, prediction.PICTURES)
    from ..registry import load

    loaded = load(model, tracking_uri=values.locations(None, tracking, None).tracking_uri)
    count = (64 if cluster is not None else 12) if n is None else n
    drawn = prediction.draw_samples(loaded, out, cluster=cluster, n=count, seed=seed)
    if json:
        show_json({"out": str(out), "shape": list(drawn.shape)})
    else:
        show(f"{drawn.shape[0] * drawn.shape[1]:,} points to {out}")
