"""What MLflow's page of a logged model links to: the versions, the data, and the run behind it."""

import json
import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric

from ..tracking.datasets import digest

_VERSIONS = "mlflow.modelVersions"  # tag of a logged model


def link(
    client: MlflowClient,
    model_id: str,
    version: tuple[str, str],
    run_id: str,
    *,
    metrics: Mapping[str, float],
    data: tuple[str, str],
) -> None:
    """Link a logged model to a version (name, number) and, by its metrics, to data.

    `data` is a name and a fingerprint.
    """
    name, number = version
    own = {"name": name, "version": int(number)}
    tags = client.get_logged_model(model_id).tags or {}
    known = json.loads(tags.get(_VERSIONS, "[]"))
    if own not in [{**entry, "version": int(entry["version"])} for entry in known]:
        # a server does so itself, a database does not
        client.set_logged_model_tags(model_id, {_VERSIONS: json.dumps([*known, own])})
    now = round(1000 * time.time())
    dataset, fingerprint = data
    client.log_batch(
        run_id,
        metrics=[
            Metric(
                key,
                value,
                now,
                0,
                model_id=model_id,
                dataset_name=dataset,
                dataset_digest=digest(fingerprint),
                run_id=run_id,
            )
            for key, value in metrics.items()
        ],
    )
