"""What a driver tells MLflow of a search, written by a thread of its own."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Run
from mlflow.exceptions import MlflowException

from ..methods.config import Scalar
from . import records
from .availability import short_timeouts, tracking_error
from .connection import connect, experiment_id
from .outbox import Outbox
from .records import RunRecord
from .runs import Projection, Summary, log_new

if TYPE_CHECKING:
    from ..data.dataset import Dataset

_LASTING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_LINGER = 5.0  # seconds that the curve of a running trial may lag behind
_SEARCH = "search"


@final
class Tracker:
    """Writes one search to MLflow from the driver, in a thread of its own.

    `experiment` is the name of the data set, `search` the name of the search, by which its parent
    run is found again.
    """

    def __init__(self, uri: str, *, experiment: str, search: str) -> None:
        # it would print a line per run to stdout, which carries results here
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self._uri, self._experiment, self._search = uri, experiment, search
        self._client = connect(uri)
        self._outbox: Outbox[RunRecord | Summary] | None = None

    def open(
        self, *, tags: Mapping[str, Scalar], params: Mapping[str, Scalar], dataset: "Dataset"
    ) -> str:
        """Find or create the parent run of the search and return its id."""
        with short_timeouts():
            try:
                parent, is_new = self._parent(tags, params, dataset)
            except MlflowException as error:
                raise tracking_error(self._uri, error) from None
        projection = Projection(self._client, parent, self._search, is_new=is_new)
        self._outbox = Outbox(projection.write, is_lasting=_is_lasting)
        return str(parent.info.run_id)

    def log(self, record: RunRecord) -> None:
        """Have a record written: soon if it is final, within 5 seconds if the trial runs on."""
        delay = _LINGER if record.state == "RUNNING" else 0.0
        self._opened().put(record.key, record, delay=delay)

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, Scalar],
        artifacts: Path | None = None,
        status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED",
    ) -> None:
        """Have the outcome of the search written to the parent run."""
        self._opened().put(_SEARCH, Summary(metrics, tags, artifacts, status))

    def close(self, timeout: float) -> bool:
        """Write what is left, for at most `timeout` seconds; say whether all of it arrived."""
        return self._outbox is None or self._outbox.close(timeout)

    @property
    def behind(self) -> int:
        """Number of records that are still to be written."""
        return 0 if self._outbox is None else len(self._outbox)

    @property
    def problems(self) -> list[str]:
        """One sentence for each record that the server will never take."""
        return [] if self._outbox is None else list(self._outbox.problems)

    def _opened(self) -> "Outbox[RunRecord | Summary]":
        assert self._outbox is not None, "call open first"
        return self._outbox

    def _parent(
        self, tags: Mapping[str, Scalar], params: Mapping[str, Scalar], dataset: "Dataset"
    ) -> tuple[Run, bool]:
        client = self._client
        experiment = experiment_id(client, self._uri, self._experiment)
        own = records.own_names({**tags, "search": self._search, "role": _SEARCH})
        found = client.search_runs(
            [experiment],
            f"tags.`tuner.search` = '{self._search}' and tags.`tuner.role` = '{_SEARCH}'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        run = found[0] if found else client.create_run(experiment, tags=own, run_name=self._search)
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        log_new(client, run, tags=own, params=records.as_text(params))
        if run.inputs is None or not run.inputs.dataset_inputs:
            client.log_inputs(run.info.run_id, [_dataset_input(dataset)])
        return run, not found


def _dataset_input(dataset: "Dataset") -> DatasetInput:
    profile = {"train": len(dataset.train), "test": len(dataset.test), "shape": dataset.shape}
    entity = DatasetEntity(
        name=dataset.name,
        digest=dataset.fingerprint[:32],  # MLflow stores 36 characters
        source_type="tuner",
        source=json.dumps({"name": dataset.name, "sha256": dataset.fingerprint}),
        profile=json.dumps(profile),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", "train")])


def _is_lasting(error: Exception) -> bool:
    return isinstance(error, MlflowException) and error.error_code in _LASTING
