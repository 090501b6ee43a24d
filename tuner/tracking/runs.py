"""The runs of a search, written with as few calls as it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from ..methods.config import Scalar
from . import records
from .records import RunRecord

# a pruned trial has done what it was asked to; its tag says that it was pruned
_STATUS = {"RUNNING": "RUNNING", "COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
_BATCH = 1000  # metrics that MLflow takes in one call


@dataclass(frozen=True)
class Summary:
    """The outcome of a search."""

    metrics: Mapping[str, float]
    tags: Mapping[str, Scalar]
    artifacts: Path | None
    status: str


@dataclass
class _Child:
    """What the server is known to hold of one child run; `points` is None until it was asked."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str]
    points: set[tuple[str, int]] | None


@final
class Projection:
    """Makes the runs of a search say what the records say, with as few calls as it takes."""

    def __init__(self, client: MlflowClient, parent: Run, search: str, *, is_new: bool) -> None:
        self._client, self._parent, self._search = client, parent, search
        self._children: dict[str, _Child] | None = {} if is_new else None

    def write(self, item: RunRecord | Summary) -> None:
        """Write one record, or the outcome of the search."""
        try:
            if isinstance(item, Summary):
                self._write_parent(item)
            else:
                self._write_child(item)
        except Exception:
            self._children = None  # some of it may have arrived: ask again
            raise

    def _write_child(self, record: RunRecord) -> None:
        tags, status = records.tags(record, search=self._search), _STATUS[record.state]
        child = self._child(record, tags)
        changed = {name: text for name, text in tags.items() if child.tags.get(name) != text}
        is_ending = child.status == "RUNNING" != status
        if not changed and not is_ending and status != "RUNNING":
            return
        if record.artifacts is not None and (is_ending or "tuner.artifacts" in changed):
            self._client.log_artifacts(child.run_id, str(record.artifacts))
        self._log(child, record, changed, is_ending=is_ending)
        # the status comes last: a run that has ended is complete
        if child.status != status and status == "RUNNING":
            self._client.update_run(child.run_id, status=status)
        elif child.status != status:
            self._client.set_terminated(child.run_id, status, record.ended)
        child.status = status

    def _log(
        self, child: _Child, record: RunRecord, changed: Mapping[str, str], *, is_ending: bool
    ) -> None:
        """Log the points, params and tags that are not there yet."""
        if child.points is None:
            child.points = self._points(child, record)
        batches = records.batches(record, known=child.points, size=_BATCH - 1) or [[]]
        batches[-1] += records.outcome(record) if is_ending else []
        texts = {k: v for k, v in records.params(record).items() if k not in child.params}
        for points in batches:
            if points or texts or changed:
                _log_batch(self._client, child.run_id, points, texts, changed)
            child.points |= {(point.name, point.step) for point in points}
            child.params |= texts.keys()
            child.tags |= changed
            texts, changed = {}, {}

    def _points(self, child: _Child, record: RunRecord) -> set[tuple[str, int]]:
        """Ask which points of a curve the run holds."""
        names = {name for _, metrics in record.history for name in metrics}
        return {
            (name, metric.step)
            for name in sorted(names)
            for metric in self._client.get_metric_history(child.run_id, name)
        }

    def _child(self, record: RunRecord, tags: Mapping[str, str]) -> _Child:
        """Return the run of a record, found or created with its tags."""
        if self._children is None:
            self._children = self._found()
        if record.key not in self._children:
            run = self._client.create_run(
                self._parent.info.experiment_id,
                start_time=record.started,
                tags={**tags, "mlflow.parentRunId": self._parent.info.run_id},
                run_name=records.run_name(record),
            )
            self._children[record.key] = _Child(
                run.info.run_id, "RUNNING", dict(tags), set(), set()
            )
        return self._children[record.key]

    def _found(self) -> dict[str, _Child]:
        """Ask for all children; of two with the same key the older one counts."""
        children: dict[str, _Child] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._parent.info.experiment_id],
                f"tags.mlflow.parentRunId = '{self._parent.info.run_id}'",
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                tags = dict(run.data.tags)
                child = _Child(run.info.run_id, run.info.status, tags, set(run.data.params), None)
                children.setdefault(tags.get("tuner.key", ""), child)
            token = page.token
            if not token:
                return children

    def _write_parent(self, summary: Summary) -> None:
        run = self._client.get_run(self._parent.info.run_id)
        if summary.artifacts is not None:
            self._client.log_artifacts(run.info.run_id, str(summary.artifacts))
        new = {k: v for k, v in summary.metrics.items() if run.data.metrics.get(k) != v}
        points = records.finite(new, time=run.info.start_time, step=0)
        log_new(self._client, run, tags=records.own_names(summary.tags), points=points)
        if run.info.status != summary.status:
            self._client.set_terminated(run.info.run_id, summary.status)


def log_new(
    client: MlflowClient,
    run: Run,
    *,
    tags: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    points: Sequence[records.Point] = (),
) -> None:
    """Log what a run does not hold yet; a param that it holds stays as it is."""
    texts = {} if params is None else {k: v for k, v in params.items() if k not in run.data.params}
    changed = {k: v for k, v in tags.items() if run.data.tags.get(k) != v}
    if points or texts or changed:
        _log_batch(client, run.info.run_id, points, texts, changed)


def _log_batch(
    client: MlflowClient,
    run_id: str,
    points: Sequence[records.Point],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    client.log_batch(
        run_id,
        metrics=[Metric(p.name, p.value, p.time, p.step) for p in points],
        params=[Param(name, text) for name, text in params.items()],
        tags=[RunTag(name, text) for name, text in tags.items()],
    )
