"""Connections to MLflow: a client that has been checked, and the experiment of a dataset."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.rest_store import RestStore
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url

from ..errors import UsageError
from ..sqlite import database_file, database_lock
from .availability import call_with_timeout, timeout_seconds

if TYPE_CHECKING:
    from ..training.places import Place

_FILE_TIMEOUT_SECONDS = 60.0
# without it, MLflow's interface may take an experiment for one of prompts and traces
_KIND = {"mlflow.experimentKind": "custom_model_development"}


def connect(uri: str) -> MlflowClient:
    """Return a client of a tracking server or database, which must answer within 10 seconds.

    An SQLite file may take a minute, because another process may be creating its tables or
    holding a lock.
    """

    def connected_client() -> MlflowClient:
        _check_postgresql(uri)
        with database_lock(uri):
            _create_whole(uri)
            client = MlflowClient(uri, os.environ.get("MLFLOW_REGISTRY_URI", uri))
            client.search_experiments(max_results=1)
        return client

    seconds = timeout_seconds() if database_file(uri) is None else _FILE_TIMEOUT_SECONDS
    return call_with_timeout(connected_client, uri=uri, seconds=seconds)


def _create_whole(uri: str) -> None:
    """Create an SQLite file that is not there yet under another name, all or nothing.

    MLflow makes its tables in many steps. A file that was left among them can never be used.
    """
    path = database_file(uri)
    if path is None or path.exists():
        return
    new = path.with_name(f".{path.name}.new")
    for left in path.parent.glob(f"{new.name}*"):
        left.unlink()
    whole = make_url(uri).set(database=str(new)).render_as_string(hide_password=False)
    try:
        MlflowClient(whole, whole).search_experiments(max_results=1)
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)


def _check_postgresql(uri: str) -> None:
    """Connect once: MLflow itself would retry for minutes and log every attempt."""
    if uri.startswith("postgresql"):
        engine = create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 8})
        engine.connect().close()


def check(uri: str) -> None:
    """Raise within 10 seconds unless a tracking server or database answers at `uri`."""
    connect(uri)


def get_or_create_experiment(client: MlflowClient, uri: str, name: str, *, files: "Place") -> str:
    """Return the id of the experiment with this name, also if another process creates it.

    `files` is the folder for the artifacts of its runs where no server keeps them.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            location = _artifact_location(client, uri, name, files)
            return str(client.create_experiment(name, artifact_location=location, tags=_KIND))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise UsageError(
            f"the MLflow experiment {name!r} was deleted: restore it with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`"
        )
    for tag, kind in _KIND.items():
        if tag not in experiment.tags:  # an earlier version made it
            client.set_experiment_tag(experiment.experiment_id, tag, kind)
    return str(experiment.experiment_id)


def _artifact_location(client: MlflowClient, uri: str, name: str, files: "Place") -> str | None:
    """Return where the files of an experiment go, None where a server decides.

    MLflow's own default is below the current folder: files go next to an SQLite file, and below
    `files` with any other database that this process writes to itself.
    """
    if isinstance(client._tracking_client.store, RestStore):
        return None
    path = database_file(uri)
    root = files if path is None else path.parent / "mlruns"
    folder = root / re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return folder.as_uri() if isinstance(folder, Path) else str(folder)
