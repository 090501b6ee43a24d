"""What tracking is told of a trial, and how it reads as runs: names, points, params, tags."""

import hashlib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from ..methods.config import Scalar

_TEXT = 5000  # characters that MLflow stores in a tag or param


class Point(NamedTuple):
    """One value of one metric; `time` is milliseconds since 1970."""

    name: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class RunRecord:
    """All that is known of one trial or finalist; a later record of the same key replaces it.

    `key` names it, such as "trial 17". `params` is the full configuration. `value` is what the
    search maximises. `started`, `ended` and `times` are milliseconds since 1970. `curve` holds an
    epoch and its metrics (train/…, score/…, audit/…) from the first report on, `times` when each
    was made; without it the order of the epochs stands for the time. The files in `artifacts`
    are stored with the run.
    """

    key: str
    role: Literal["trial", "finalist"]
    number: int
    method: str
    params: Mapping[str, Scalar]
    seeds: Sequence[int]
    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]
    started: int
    reason: str | None = None
    attempt: int = 0
    value: float | None = None
    ended: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[tuple[int, Mapping[str, float]]] = ()
    times: Sequence[int] = ()
    artifacts: Path | None = None


def run_name(record: RunRecord) -> str:
    """Return a name that sorts by number: "trial 7" becomes "trial 007"."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(3), record.key)


def params(record: RunRecord) -> dict[str, str]:
    """Return the configuration, the method and the seeds as text."""
    seeds = ",".join(map(str, record.seeds))
    return as_text({**record.params, "method": record.method, "seeds": seeds})


def tags(record: RunRecord, *, search: str) -> dict[str, str]:
    """Return what a run is found by and how it ended."""
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
        "artifacts": "" if record.artifacts is None else digest(record.artifacts),
    }
    return own_names({**record.tags, **own})


def own_names(values: Mapping[str, Scalar]) -> dict[str, str]:
    """Return tags under this project's name, as text."""
    return {f"tuner.{name}": text for name, text in as_text(values).items()}


def as_text(values: Mapping[str, Scalar]) -> dict[str, str]:
    """Return values as MLflow stores them."""
    return {name: str(value)[:_TEXT] for name, value in values.items()}


def batches(
    record: RunRecord, *, known: Collection[tuple[str, int]], size: int
) -> list[list[Point]]:
    """Return the finite points of the curve that are not known by name and step, `size` at a time.

    NaN and infinity are left out: MLflow would store them as if they were numbers.
    """
    found: list[Point] = []
    for index, (epoch, metrics) in enumerate(record.history):
        time = record.times[index] if index < len(record.times) else record.started + epoch
        new = {name: value for name, value in metrics.items() if (name, epoch) not in known}
        found += finite(new, time=time, step=epoch)
    return [found[start : start + size] for start in range(0, len(found), size)]


def outcome(record: RunRecord) -> list[Point]:
    """Return the value of a trial that has ended, as a point after its curve."""
    if record.value is None or record.state == "RUNNING":
        return []
    time = record.started if record.ended is None else record.ended
    step = max((epoch for epoch, _ in record.history), default=0)
    return finite({"value": record.value}, time=time, step=step)


def finite(metrics: Mapping[str, float], *, time: int, step: int) -> list[Point]:
    """Return the metrics that are numbers as points of one moment."""
    return [Point(n, float(v), time, step) for n, v in metrics.items() if math.isfinite(v)]


def digest(folder: Path) -> str:
    """Return a sha256 over the names and contents of the files below a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
