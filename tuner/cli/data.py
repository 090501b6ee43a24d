"""The command that shows what data are taken for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from . import completion, values
from .data_options import (
    Categories,
    Columns,
    Drop,
    Header,
    Layer,
    Missing,
    MissingValue,
    Ordinal,
    Scale,
    Strict,
)
from .options import (
    DEFAULTS,
    Json,
    Labels,
)
from .output import show, show_facts, show_json, show_table

if TYPE_CHECKING:
    from ..data.overview import Overview

_SHOWN = 40

Source = Annotated[
    str,
    Argument(
        metavar="DATA",
        help="File or folder of images, or name of a built-in dataset.",
        autocompletion=completion.datasets,
        show_default=False,
    ),
]
Picture = Annotated[
    Path | None,
    Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Picture of the first two principal components, .png.",
        show_default="./NAME-data.png",
    ),
]


def data(
    dataset: Source,
    labels: Labels = None,
    columns: Columns = None,
    drop: Drop = None,
    categories: Categories = None,
    ordinal: Ordinal = None,
    missing: Missing = DEFAULTS.preparation.missing,
    missing_value: MissingValue = None,
    scale: Scale = DEFAULTS.preparation.scale,
    layer: Layer = None,
    header: Header = None,
    strict: Strict = False,
    out: Picture = None,
    json: Json = False,
) -> None:
    """Show what each column of the data is taken for and becomes, and draw the points."""
    from ..orchestration import prediction

    if out is not None:
        prediction.check_ending(out, (".png",))
    preparation = values.preparation(
        columns, drop, categories, ordinal, missing, missing_value, scale, layer, header, strict
    )
    from ..data.overview import overview

    found = overview(dataset, labels=labels, preparation=preparation)
    picture = Path(f"{found.dataset.name}-data.png") if out is None else out
    prediction.draw_plane(found.dataset, picture)
    if json:
        show_json({**found.to_mapping(), "picture": str(picture)})
    else:
        _show(found, picture)


def _show(found: "Overview", picture: Path) -> None:
    dataset = found.dataset
    if found.columns:
        show_table(
            ["column", "taken for", "values", "missing", "becomes"],
            [
                [one.name, one.taken_for, one.values, _share(one.missing), one.becomes]
                for one in found.columns[:_SHOWN]
            ],
        )
        if len(found.columns) > _SHOWN:
            show(f"and {len(found.columns) - _SHOWN:,} more columns, which --json lists")
        show("")
    labels = f"{len(dataset.label_names)} classes" if dataset.label_names else "none"
    show_facts(
        [
            (
                "points",
                f"{len(dataset.train):,} for training and {len(dataset.test):,} for testing",
            ),
            ("features", f"{dataset.train[0].size:,}"),
            ("data", dataset.description),
            ("labels", labels),
            *(("note", note) for note in dataset.notes),
            *(("warning", warning) for warning in dataset.warnings),
            ("picture", str(picture)),
        ]
    )


def _share(share: float) -> str:
    return "" if share == 0 else f"{share:.1%}" if share >= 0.0005 else "<0.1%"
