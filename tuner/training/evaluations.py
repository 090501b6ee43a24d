"""The evaluations of a trial and the file in its folder that records them, one JSON line each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import DiskError

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial reports at one of its evaluations.

    `value` is what the search maximises, the mean over replicas. It is None while a pretraining
    stage has no clusters and when no replica is usable. `metrics` are named `train/…`, `score/…`
    and `audit/…`. `failure` is the reason why the trial ended without a usable result.
    """

    epoch: int
    passes: int
    stage: str
    value: float | None
    sd: float = 0.0
    finished: bool = False
    failure: str | None = None
    detail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    replicas: tuple[float, ...] = ()
    seconds: float = 0.0


def append_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Append an evaluation to the file of its trial, or raise DiskError."""
    line = _to_lines([evaluation])
    path = folder / METRICS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise DiskError(
            f"cannot write {len(line)} bytes to {path} ({error.strerror}): free some space or "
            "choose another folder"
        ) from error


def read_evaluations(folder: Path) -> list[Evaluation]:
    """Return the recorded evaluations of a trial, one per epoch, without incomplete lines."""
    try:
        lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, Evaluation] = {}
    for line in lines:
        try:
            values = json.loads(line)
            evaluation = Evaluation(**{**values, "replicas": tuple(values["replicas"])})
        except (ValueError, TypeError, KeyError):
            continue
        found[evaluation.epoch] = evaluation
    return [found[epoch] for epoch in sorted(found)]


def discard_evaluations_after(folder: Path, epoch: int) -> None:
    """Remove the evaluations after an epoch, and incomplete lines, from the file of a trial."""
    path = folder / METRICS_FILE
    if path.exists():
        kept = _to_lines(e for e in read_evaluations(folder) if e.epoch <= epoch)
        temporary = path.with_name(f".{METRICS_FILE}")
        temporary.write_text(kept, encoding="utf-8")
        temporary.replace(path)


def _to_lines(evaluations: Iterable[Evaluation]) -> str:
    return "".join(json.dumps(asdict(evaluation)) + "\n" for evaluation in evaluations)
