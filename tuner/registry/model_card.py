"""The model card: the data, score, selection, settings and limits of a registered model."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..data.table.columns import CONSTANT
from ..data.table.encoding import TableEncoder
from ..methods.config import Scalar
from ..training.saved_model import Model

_SHOWN_COLUMNS = 100


@dataclass(frozen=True, kw_only=True)
class ModelCardData:
    """The content of a model card beyond the model itself.

    `source` is the method's paper. `score` is the objective on the test split and `interval` its
    95 % interval, None if it was not computed. `selection` says in a sentence or two how the model
    was chosen. `guards` and `audit` hold metrics by name; those in `audit` need labels.
    """

    name: str
    search: str
    dataset: str
    fingerprint: str
    train_points: int
    test_points: int
    source: str
    objective: str
    score: float
    interval: tuple[float, float] | None
    selection: str
    description: str = ""
    guards: Mapping[str, float] = field(default_factory=dict)
    audit: Mapping[str, float] = field(default_factory=dict)


def render_card(model: Model, data: ModelCardData) -> str:
    """Return the model card in Markdown."""
    sections = [
        f"# {data.name}\n\n{_summary(model, data)}",
        f"## Data\n\n{_dataset(model, data)}",
        _columns(model),
        f"## Score\n\n{_score(data)}",
        f"## How it was chosen\n\n{data.selection}\n\n{_labels(model)}",
        _metrics("## Guards", data.guards),
        _metrics("## Audit with labels (test split)", data.audit),
        f"## Settings\n\n{_table(model.config.to_mapping())}",
        f"## How to load it\n\n{_loading(data.name)}",
        f"## Limits\n\n{_limits(model)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(model: Model, data: ModelCardData) -> str:
    return (
        f"Assigns each point to one of {model.n_components} clusters. Method `{model.method}` "
        f"({data.source}), found by the search `{data.search}`."
    )


def _dataset(model: Model, data: ModelCardData) -> str:
    shape = " × ".join(map(str, model.shape))
    return (
        f"`{data.dataset}`, points of shape {shape}: {data.train_points:,} for training and "
        f"{data.test_points:,} for testing. sha256 of the data, split and preprocessing: "
        f"`{data.fingerprint}`."
        + (f" {data.description[0].upper()}{data.description[1:]}." if data.description else "")
    )


def _columns(model: Model) -> str:
    """Return the columns that raw data must have, "" if they have no names."""
    encoder = model.preprocessor.encoder
    if not isinstance(encoder, TableEncoder) or not encoder.named:
        return ""
    columns = [column for column in encoder.columns if column.kind != CONSTANT]
    shown = {
        column.name: f"{column.kind}: {', '.join(column.categories)}"
        if column.categories
        else column.kind
        for column in columns[:_SHOWN_COLUMNS]
    }
    more = len(columns) - _SHOWN_COLUMNS
    return f"## Columns\n\nRaw data have these columns, in any order.\n\n{_table(shown)}" + (
        f"\n\nAnd {more:,} more." if more > 0 else ""
    )


def _score(data: ModelCardData) -> str:
    interval = ""
    if data.interval is not None:
        low, high = data.interval
        interval = f" (95 % interval {low:.3f} to {high:.3f})"
    return f"`{data.objective}` on the test split: **{data.score:.3f}**{interval}."


def _labels(model: Model) -> str:
    if model.labels_used:
        return (
            "**Labels were used to choose this model**, so metrics that use labels are optimistic."
        )
    return "No labels were used to train or choose this model."


def _metrics(title: str, metrics: Mapping[str, float]) -> str:
    shown = {name: f"{v:.3f}" for name, v in metrics.items() if math.isfinite(v)}
    return f"{title}\n\n{_table(shown)}" if shown else ""


def _table(values: Mapping[str, Scalar]) -> str:
    rows = [
        f"| `{_cell(name).replace('`', chr(39))}` | {html.escape(_cell(str(value)), False)} |"
        for name, value in values.items()
    ]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    """Return a text on one line that stays in its cell, such as a name that a file brought."""
    return " ".join(text.split()).replace("|", r"\|")


def _loading(name: str) -> str:
    return (
        f'```python\nimport tuner\nmodel = tuner.load("models:/{name}@champion")\n'
        "clusters = model.predict(raw)\n```\n\n"
        "Without this package, in any environment with MLflow and PyTorch:\n\n"
        f'```python\nimport mlflow\nmodel = mlflow.pyfunc.load_model("models:/{name}@champion")\n'
        'table = model.predict(raw)  # or params={"output": "embed"}\n```\n\n'
        "The input is raw data in the units of the training data; the model scales it. Weights "
        "are stored as safetensors and JSON with checksums; nothing is unpickled."
    )


def _limits(model: Model) -> str:
    return (
        f"- Every point is assigned to one of {model.n_components} clusters, even if it is unlike "
        "all training data.\n"
        "- Cluster numbers are arbitrary and differ between versions.\n"
        "- Probabilities come from the model and are not calibrated.\n"
        "- Scores can only be compared on the same data, and clusters need not match classes."
    )
