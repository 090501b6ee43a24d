"""Writes the runs of a search with as few MLflow calls as possible."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag

from . import run_data
from .records import RunRecord
from .run_data import MetricPoint

# pruning is not a failure, so the run is FINISHED; the tag tuner.state distinguishes it from a
# complete one
_STATUS = {"RUNNING": "RUNNING", "COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
_PICTURES = "pictures"  # a folder, so that the report is the first file
_MAX_BATCH = 1000  # metrics that MLflow accepts in one call


@dataclass(frozen=True)
class SearchSummary:
    """The outcome of a search, written to its parent run."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Path | None
    report: Path | None
    status: str


@dataclass
class _ChildRun:
    """What the server holds of a child run; `points` is None until it has been queried."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str]
    points: set[tuple[str, int]] | None
    has_data: bool


class _Fenced:
    """A client that calls `fence` before each of its methods."""

    def __init__(self, client: MlflowClient, fence: Callable[[], None]) -> None:
        self._client, self._fence = client, fence

    def __getattr__(self, name: str) -> Any:
        self._fence()
        return getattr(self._client, name)


@final
class RunWriter:
    """Brings the runs of a search up to date with their records.

    `data` is what they were trained on. `fence` is called before each call to MLflow, and raises
    where nothing may be written any more.
    """

    def __init__(
        self,
        client: MlflowClient,
        parent: Run,
        search: str,
        *,
        data: DatasetInput,
        is_new: bool,
        fence: Callable[[], None],
    ) -> None:
        self._client = cast(MlflowClient, _Fenced(client, fence))
        self._parent, self._search, self._data = parent, search, data
        self._children: dict[str, _ChildRun] | None = {} if is_new else None
        self._doubles: list[str] = []

    def write(self, item: RunRecord | SearchSummary) -> None:
        """Write a record to its child run, or the outcome of the search to the parent run."""
        try:
            if isinstance(item, SearchSummary):
                self._write_parent(item)
            else:
                self._write_child(item)
        except Exception:
            self._children = None  # part of it may have been stored: query the server again
            raise

    def delete_doubles(self) -> int:
        """Delete all child runs with the key of an older one; return how many."""
        self._children = self._search_children()
        for run_id in self._doubles:
            self._client.delete_run(run_id)
        return len(self._doubles)

    def _write_child(self, record: RunRecord) -> None:
        tags, status = run_data.tags(record, search=self._search), _STATUS[record.state]
        child = self._get_or_create_child(record, tags)
        changed = {name: text for name, text in tags.items() if child.tags.get(name) != text}
        is_ending = child.status == "RUNNING" != status
        if not changed and not is_ending and status != "RUNNING":
            return
        if not child.has_data:
            self._client.log_inputs(child.run_id, [self._data])
            child.has_data = True
        if record.artifacts is not None and (is_ending or "tuner.artifacts" in changed):
            self._client.log_artifacts(child.run_id, str(record.artifacts))
        self._log_child(child, record, changed, is_ending=is_ending)
        # the status comes last, so that a run with a terminal status is complete
        if child.status != status and status == "RUNNING":
            self._client.update_run(child.run_id, status=status)
        elif child.status != status:
            self._client.set_terminated(child.run_id, status, record.ended)
        child.status = status

    def _log_child(
        self, child: _ChildRun, record: RunRecord, changed: Mapping[str, str], *, is_ending: bool
    ) -> None:
        """Log the metrics, params and tags that the run does not hold yet."""
        if child.points is None:
            child.points = self._stored_points(child, record)
        batches = run_data.metric_batches(record, known=child.points, size=_MAX_BATCH - 1) or [[]]
        batches[-1] += run_data.outcome_points(record) if is_ending else []
        params = {k: v for k, v in run_data.params(record).items() if k not in child.params}
        for points in batches:
            if points or params or changed:
                _log_batch(self._client, child.run_id, points, params, changed)
            child.points |= {(point.name, point.step) for point in points}
            child.params |= params.keys()
            child.tags |= changed
            params, changed = {}, {}

    def _stored_points(self, child: _ChildRun, record: RunRecord) -> set[tuple[str, int]]:
        """Return the name and step of every metric of the record that the run already holds."""
        names = {name for _, metrics in record.history for name in metrics}
        return {
            (name, metric.step)
            for name in sorted(names)
            for metric in self._client.get_metric_history(child.run_id, name)
        }

    def _get_or_create_child(self, record: RunRecord, tags: Mapping[str, str]) -> _ChildRun:
        if self._children is None:
            self._children = self._search_children()
        if record.key not in self._children:
            run = self._client.create_run(
                self._parent.info.experiment_id,
                start_time=record.started,
                tags={**tags, "mlflow.parentRunId": self._parent.info.run_id},
                run_name=run_data.run_name(record),
            )
            self._children[record.key] = _ChildRun(
                run.info.run_id, "RUNNING", dict(tags), set(), set(), has_data=False
            )
        return self._children[record.key]

    def _search_children(self) -> dict[str, _ChildRun]:
        """Return all child runs by key, the oldest if several have the same key."""
        children: dict[str, _ChildRun] = {}
        self._doubles = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._parent.info.experiment_id],
                f"tags.mlflow.parentRunId = '{self._parent.info.run_id}'",
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                tags, params = dict(run.data.tags), set(run.data.params)
                has_data = bool(run.inputs and run.inputs.dataset_inputs)
                child = _ChildRun(run.info.run_id, run.info.status, tags, params, None, has_data)
                if children.setdefault(tags.get("tuner.key", ""), child) is not child:
                    self._doubles.append(child.run_id)
            token = page.token
            if not token:
                return children

    def _write_parent(self, summary: SearchSummary) -> None:
        run = self._client.get_run(self._parent.info.run_id)
        if summary.artifacts is not None:
            self._client.log_artifacts(run.info.run_id, str(summary.artifacts), _PICTURES)
        if summary.report is not None:
            self._client.log_artifact(run.info.run_id, str(summary.report))
        new = {k: v for k, v in summary.metrics.items() if run.data.metrics.get(k) != v}
        points = run_data.finite_points(new, timestamp=run.info.start_time, step=0)
        log_new(self._client, run, tags=summary.tags, points=points)
        if run.info.status != summary.status:
            self._client.set_terminated(run.info.run_id, summary.status)


def log_new(
    client: MlflowClient,
    run: Run,
    *,
    tags: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    points: Sequence[MetricPoint] = (),
) -> None:
    """Log metrics, params that the run does not hold yet, and tags that are new or changed."""
    new = {k: v for k, v in (params or {}).items() if k not in run.data.params}
    changed = {k: v for k, v in tags.items() if run.data.tags.get(k) != v}
    if points or new or changed:
        _log_batch(client, run.info.run_id, points, new, changed)


def _log_batch(
    client: MlflowClient,
    run_id: str,
    points: Sequence[MetricPoint],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    client.log_batch(
        run_id,
        metrics=[Metric(p.name, p.value, p.timestamp, p.step) for p in points],
        params=[Param(name, text) for name, text in params.items()],
        tags=[RunTag(name, text) for name, text in tags.items()],
    )
