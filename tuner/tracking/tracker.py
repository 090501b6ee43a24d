"""Logs a search to MLflow in the background."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from ..errors import LeaseError
from ..methods.config import Scalar
from . import run_data
from .availability import long_timeouts, tracking_error
from .connection import connect, get_or_create_experiment
from .datasets import dataset_input
from .outbox import Outbox
from .records import RunRecord
from .run_writer import RunWriter, SearchSummary, log_new

if TYPE_CHECKING:
    from ..data.summary import DataSummary
    from ..training.places import Place

_PERMANENT_ERRORS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_RUNNING_DELAY = 5.0  # seconds within which the metrics of a running trial are written
_SEARCH = "search"


@final
class Tracker:
    """Writes one search to MLflow in a background thread.

    `experiment` is the name of the dataset. `search` is the name of the search, by which a
    resumed search finds its parent run. `files` is the folder for artifacts where no server keeps
    them. `fence` is called before every write, and raises LeaseError once another process drives
    the search; then nothing more is written, and what was queued is dropped.
    """

    def __init__(
        self, uri: str, *, experiment: str, search: str, files: "Place", fence: Callable[[], None]
    ) -> None:
        # MLflow would print a line per run to stdout, which is reserved for results
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self._uri, self._experiment, self._search = uri, experiment, search
        self._files = files
        self._description = self._page = ""
        self._client = connect(uri)
        self._fence = fence
        self._writer: RunWriter | None = None
        self._outbox: Outbox[RunRecord | SearchSummary] | None = None

    def open(
        self,
        *,
        tags: Mapping[str, Scalar],
        params: Mapping[str, Scalar],
        data: "DataSummary",
        description: str = "",
    ) -> str:
        """Find or create the parent run of the search and return its id.

        MLflow shows the description, in Markdown, above everything else.
        """
        self._description = description
        with long_timeouts():
            try:
                self._fence()
                parent, is_new = self._get_or_create_parent(tags, params, data)
            except MlflowException as error:
                raise tracking_error(self._uri, error) from None
        self._page = f"#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
        self._writer = RunWriter(
            self._client,
            parent,
            self._search,
            data=dataset_input(data),
            is_new=is_new,
            fence=self._fence,
        )
        self._outbox = Outbox(self._send, is_permanent=_is_permanent)
        return str(parent.info.run_id)

    @property
    def description(self) -> str:
        """What the search searches, as it was given to `open`."""
        return self._description

    def log(self, record: RunRecord) -> None:
        """Queue a record: a running trial is written within 5 seconds, any other at once."""
        delay = _RUNNING_DELAY if record.state == "RUNNING" else 0.0
        self._get_outbox().put(record.key, record, delay=delay)

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, Scalar],
        description: str = "",
        artifacts: Path | None = None,
        report: Path | None = None,
        status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED",
    ) -> None:
        """Queue the outcome of the search for the parent run, and add to its description.

        `artifacts` is a folder of pictures, and `report` a file, which the description links to.
        """
        link = f"[Report of the search]({self._page}/artifacts/{report.name})" if report else ""
        whole = "\n\n".join(filter(None, [link, self._description, description]))
        own = run_data.prefixed(tags) | run_data.described(whole)
        self._get_outbox().put(_SEARCH, SearchSummary(metrics, own, artifacts, report, status))

    def delete_doubles(self) -> int:
        """Delete all runs of a trial or finalist but the one that is kept up to date.

        A driver that was suspended while it created a run leaves a second one. Returns how many.
        """
        assert self._writer is not None, "call open first"
        return self._writer.delete_doubles()

    def close(self, timeout: float) -> bool:
        """Write all queued records, for at most `timeout` seconds; return whether all were."""
        return self._outbox is None or self._outbox.close(timeout)

    @property
    def pending(self) -> int:
        """Number of records that have not been written yet."""
        return 0 if self._outbox is None else len(self._outbox)

    @property
    def problems(self) -> list[str]:
        """An error message for each record that the server has rejected."""
        return [] if self._outbox is None else list(self._outbox.problems)

    def _send(self, item: RunRecord | SearchSummary) -> None:
        assert self._writer is not None
        try:
            self._writer.write(item)
        except LeaseError:
            self._get_outbox().abandon()

    def _get_outbox(self) -> "Outbox[RunRecord | SearchSummary]":
        assert self._outbox is not None, "call open first"
        return self._outbox

    def _get_or_create_parent(
        self, tags: Mapping[str, Scalar], params: Mapping[str, Scalar], data: "DataSummary"
    ) -> tuple[Run, bool]:
        """Return the parent run, and whether it is new."""
        client = self._client
        experiment_id = get_or_create_experiment(
            client, self._uri, self._experiment, files=self._files
        )
        own = run_data.prefixed({**tags, "search": self._search, "role": _SEARCH})
        found = client.search_runs(
            [experiment_id],
            f"tags.`tuner.search` = '{self._search}' and tags.`tuner.role` = '{_SEARCH}'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        if found:
            run = found[0]
        else:
            run = client.create_run(experiment_id, tags=own, run_name=self._search)
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        if not found:  # else it may say what was found
            own |= run_data.described(self._description)
        log_new(client, run, tags=own, params=run_data.as_text(params))
        if run.inputs is None or not run.inputs.dataset_inputs:
            client.log_inputs(run.info.run_id, [dataset_input(data)])
        return run, not found


def _is_permanent(error: Exception) -> bool:
    return isinstance(error, MlflowException) and error.error_code in _PERMANENT_ERRORS
