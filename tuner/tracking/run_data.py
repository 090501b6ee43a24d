"""Conversion of run records to MLflow's run names, params, tags and metrics."""

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from ..methods.config import Scalar
from .records import RunRecord

_MAX_LENGTH = 5000  # characters that MLflow stores in a tag or param


class MetricPoint(NamedTuple):
    """One value of one metric; `timestamp` is milliseconds since 1970."""

    name: str
    value: float
    timestamp: int
    step: int


def run_name(record: RunRecord) -> str:
    """Return a name that sorts by number: "trial 7" becomes "trial 007"."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(3), record.key)


def params(record: RunRecord) -> dict[str, str]:
    """Return the configuration, the method and the seeds as text.

    Seeds that are not known yet are left out, because MLflow never changes a param.
    """
    seeds = {"seeds": ",".join(map(str, record.seeds))} if record.seeds else {}
    return as_text({**record.params, "method": record.method, **seeds})


def tags(record: RunRecord, *, search: str) -> dict[str, str]:
    """Return the tags that identify a run and describe its outcome."""
    own: dict[str, Scalar] = {
        "search": search,
        "key": record.key,
        "role": record.role,
        "number": record.number,
        "method": record.method,
        "state": record.state,
        "reason": "" if record.reason is None else record.reason,
        "attempt": record.attempt,
        "points": len(record.history),
        "artifacts": "" if record.artifacts is None else folder_digest(record.artifacts),
    }
    return prefixed({**record.tags, **own})


def prefixed(values: Mapping[str, Scalar]) -> dict[str, str]:
    """Return tags as text, with the prefix `tuner.` in their names."""
    return {f"tuner.{name}": text for name, text in as_text(values).items()}


def described(text: str) -> dict[str, str]:
    """Return the tag that MLflow shows as the description of a run, none for an empty one."""
    return as_text({"mlflow.note.content": text}) if text else {}


def as_text(values: Mapping[str, Scalar]) -> dict[str, str]:
    """Return values as text, cut to the length that MLflow stores."""
    return {name: str(value)[:_MAX_LENGTH] for name, value in values.items()}


def metric_batches(
    record: RunRecord, *, known: Collection[tuple[str, int]], size: int
) -> list[list[MetricPoint]]:
    """Return the finite metrics that are not `known` by name and step, in batches of `size`.

    NaN and infinity are left out, because MLflow would store them as finite numbers.
    """
    points: list[MetricPoint] = []
    for index, (epoch, metrics) in enumerate(record.history):
        timestamp = record.times[index] if index < len(record.times) else record.started + epoch
        new = {name: value for name, value in metrics.items() if (name, epoch) not in known}
        points += finite_points(new, timestamp=timestamp, step=epoch)
    return [points[start : start + size] for start in range(0, len(points), size)]


def outcome_points(record: RunRecord) -> list[MetricPoint]:
    """Return the value of a trial that has ended, as a metric at its last epoch."""
    if record.value is None or record.state == "RUNNING":
        return []
    timestamp = record.started if record.ended is None else record.ended
    step = max((epoch for epoch, _ in record.history), default=0)
    return finite_points({"value": record.value}, timestamp=timestamp, step=step)


def finite_points(metrics: Mapping[str, float], *, timestamp: int, step: int) -> list[MetricPoint]:
    """Return the metrics with finite values as points at one timestamp and step."""
    return [
        MetricPoint(name, float(value), timestamp, step)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]


def folder_digest(folder: Path) -> str:
    """Return the sha256 of the names and contents of all files below a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
