"""The way to MLflow: a client that answers, and the experiment of a data set."""

import os
import re

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import NullPool, create_engine

from ..errors import UsageError
from ..sqlite import database_file, database_lock
from .availability import ANSWER, answer_within

_FILE_ANSWER = 60.0


def connect(uri: str) -> MlflowClient:
    """Return a client of a tracking server or database, which must answer within 10 seconds.

    A file has a minute: another process may be creating its tables, or hold a lock.
    """

    def ask() -> MlflowClient:
        _knock(uri)
        with database_lock(uri):
            client = MlflowClient(uri, os.environ.get("MLFLOW_REGISTRY_URI", uri))
            client.search_experiments(max_results=1)
        return client

    seconds = ANSWER if database_file(uri) is None else _FILE_ANSWER
    return answer_within(ask, uri=uri, seconds=seconds)


def _knock(uri: str) -> None:
    """Connect to a PostgreSQL once: MLflow would try for minutes, and tell of each time."""
    if uri.startswith("postgresql"):
        engine = create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 8})
        engine.connect().close()


def check(uri: str) -> None:
    """Raise within 10 seconds unless a tracking server or database answers at `uri`."""
    connect(uri)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Return the experiment of this name; of two that create it at once, one creates it."""
    found = client.get_experiment_by_name(name)
    if found is None:
        path = database_file(uri)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
        # beside the database: the default would follow whatever folder a search starts in
        place = None if path is None else (path.parent / "mlruns" / slug).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise UsageError(
            f"the MLflow experiment {name!r} was deleted: bring it back with "
            f"mlflow experiments restore -x {found.experiment_id}"
        )
    return str(found.experiment_id)
