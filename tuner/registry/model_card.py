"""The model card: what a registered model is, how it was chosen, and what it is not good for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..methods.config import Scalar
from ..training.saved_model import Model


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card tells beyond the model itself.

    `source` is the method's paper. `score` is the objective on the test split and `interval` its
    95 % interval, None where it was not drawn. `chosen` says in a sentence or two how the model
    was chosen, `guards` and `audit` hold figures by name, the audit those that needed labels.
    """

    name: str
    search: str
    data: str
    fingerprint: str
    train_points: int
    test_points: int
    source: str
    objective: str
    score: float
    interval: tuple[float, float] | None
    chosen: str
    guards: Mapping[str, float] = field(default_factory=dict)
    audit: Mapping[str, float] = field(default_factory=dict)


def card(model: Model, facts: Facts) -> str:
    """Return the model card in Markdown."""
    sections = [
        f"# {facts.name}\n\n{_what(model, facts)}",
        f"## Data\n\n{_data(model, facts)}",
        f"## Score\n\n{_score(facts)}",
        f"## How it was chosen\n\n{facts.chosen}\n\n{_labels(model)}",
        _figures("## Guards", facts.guards),
        _figures("## Audit with labels (test split)", facts.audit),
        f"## Settings\n\n{_table(model.config.to_mapping())}",
        f"## How to load it\n\n{_loading(facts.name)}",
        f"## Limits\n\n{_limits(model)}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _what(model: Model, facts: Facts) -> str:
    return (
        f"Assigns each point to one of {model.n_components} clusters. Method `{model.method}` "
        f"({facts.source}), found by the search `{facts.search}`."
    )


def _data(model: Model, facts: Facts) -> str:
    shape = " × ".join(map(str, model.shape))
    return (
        f"`{facts.data}`, points of {shape} numbers: {facts.train_points:,} to train on, "
        f"{facts.test_points:,} to test on. sha256 of the data, its split and scaling: "
        f"`{facts.fingerprint}`."
    )


def _score(facts: Facts) -> str:
    interval = ""
    if facts.interval is not None:
        low, high = facts.interval
        interval = f" (95 % interval {low:.3f} to {high:.3f})"
    return f"`{facts.objective}` on the test split: **{facts.score:.3f}**{interval}."


def _labels(model: Model) -> str:
    if model.labels_used:
        return "**Labels took part in the choice**, so figures that use labels flatter it."
    return "No label took part in training or in the choice."


def _figures(title: str, figures: Mapping[str, float]) -> str:
    shown = {name: f"{v:.3f}" for name, v in figures.items() if math.isfinite(v)}
    return f"{title}\n\n{_table(shown)}" if shown else ""


def _table(values: Mapping[str, Scalar]) -> str:
    rows = [
        f"| `{name}` | {str(value).replace('|', chr(92) + '|')} |"
        for name, value in values.items()
    ]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])


def _loading(name: str) -> str:
    return (
        f'```python\nimport tuner\nmodel = tuner.load("models:/{name}@champion")\n'
        "clusters = model.predict(raw)\n```\n\n"
        "Without this package, anywhere MLflow and PyTorch are:\n\n"
        f'```python\nimport mlflow\nmodel = mlflow.pyfunc.load_model("models:/{name}@champion")\n'
        'table = model.predict(raw)  # or params={"output": "embed"}\n```\n\n'
        "Input is raw data, in the units of the training data; scaling is part of the model. The "
        "weights are safetensors and JSON with checksums: nothing is unpickled."
    )


def _limits(model: Model) -> str:
    return (
        f"- Every point gets one of {model.n_components} clusters, also one unlike all training "
        "data.\n"
        "- Cluster numbers mean nothing in themselves and change from version to version.\n"
        "- Probabilities are the model's own and are not calibrated.\n"
        "- A score compares models on the same data only; a cluster need not be a class."
    )
