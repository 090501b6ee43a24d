"""The dataset of a search as MLflow shows it, at runs and at models."""

import json
from typing import TYPE_CHECKING

from mlflow.entities import Dataset, DatasetInput, InputTag

if TYPE_CHECKING:
    from ..data.summary import DataSummary

_DIGITS = 8  # as MLflow's own, so that the name beside them can be read


def digest(fingerprint: str) -> str:
    """Return the digest by which MLflow tells apart datasets of one name."""
    return fingerprint[:_DIGITS]


def dataset_input(data: "DataSummary") -> DatasetInput:
    """Return a dataset as what a run was trained on."""
    profile = {"train": data.train, "test": data.test, "shape": data.shape}
    entity = Dataset(
        name=data.name,
        digest=digest(data.fingerprint),
        source_type="tuner",
        source=json.dumps({"name": data.name, "sha256": data.fingerprint}),
        profile=json.dumps(profile),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "train")])
