"""The evaluations of a trial and the file of an attempt that records them, one JSON line each."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from ..errors import DiskError
from .attempts import METRICS_FILE, attempts

if TYPE_CHECKING:
    from .places import Place


MAX_EVALUATIONS = 20


def interval(passes: int) -> int:
    """Return after how many passes each a training of so many is evaluated."""
    return max(1, math.ceil(passes / MAX_EVALUATIONS))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial reports at one of its evaluations.

    `value` is what the search maximises, the mean over replicas. It is None while a pretraining
    stage has no clusters and when no replica is usable. `metrics` are named `train/…`, `score/…`
    and `audit/…`. `failure` is the reason why the trial ended without a usable result. With
    restarts all of this is of the leading candidate of each replica: `candidates` says how many go
    on after this evaluation, and `seeds` which the leading ones are, empty without restarts.
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
    candidates: int = 1
    seeds: tuple[int, ...] = ()


@final
class EvaluationLog:
    """The evaluations of one attempt at a trial, and the file that nobody else writes.

    Raises DiskError or StoreError where it cannot be written.
    """

    def __init__(self, folder: "Place", evaluations: Iterable[Evaluation]) -> None:
        self._path = folder / METRICS_FILE
        self._lines = _to_lines(evaluations)
        self._write_all()

    @property
    def text(self) -> str:
        """The lines recorded so far."""
        return self._lines

    def append(self, evaluation: Evaluation) -> None:
        """Record an evaluation."""
        line = _to_lines([evaluation])
        self._lines += line
        if not isinstance(self._path, Path) or not self._appended(self._path, line):
            self._write_all()

    @staticmethod
    def _appended(path: Path, line: str) -> bool:
        """Append a line to a file; return False if somebody has deleted it."""
        with _disk_errors(path, line):
            try:
                with open(path, "a", encoding="utf-8", opener=_existing) as file:
                    file.write(line)
            except FileNotFoundError:
                return False
        return True

    def _write_all(self) -> None:
        if isinstance(self._path, Path):
            with _disk_errors(self._path, self._lines):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._path.with_name(f".{METRICS_FILE}")
                temporary.write_text(self._lines, encoding="utf-8")
                temporary.replace(self._path)
        else:
            self._path.write_bytes(self._lines.encode())


def read_evaluations(folder: "Place") -> list[Evaluation]:
    """Return the evaluations of a trial, one per epoch, as its newest attempt recorded them."""
    for attempt in attempts(folder):
        evaluations = recorded_in(attempt)
        if evaluations is not None:
            return evaluations
    return []


def recorded_in(folder: "Place") -> list[Evaluation] | None:
    """Return what an attempt recorded, one evaluation per epoch and no incomplete lines.

    Return None if it has no file.
    """
    try:
        text = (folder / METRICS_FILE).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    return parsed(text)


def parsed(text: str) -> list[Evaluation]:
    """Return the evaluations in lines, one per epoch, without those that are incomplete."""
    found: dict[int, Evaluation] = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
            replicas, seeds = tuple(values["replicas"]), tuple(values.get("seeds", ()))
            evaluation = Evaluation(**{**values, "replicas": replicas, "seeds": seeds})
        except (ValueError, TypeError, KeyError):
            continue
        found[evaluation.epoch] = evaluation
    return [found[epoch] for epoch in sorted(found)]


def _existing(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)


@contextmanager
def _disk_errors(path: Path, text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"cannot write {len(text)} bytes to {path} ({error.strerror}): free some space or "
            "choose another folder"
        ) from error


def _to_lines(evaluations: Iterable[Evaluation]) -> str:
    return "".join(json.dumps(asdict(evaluation)) + "\n" for evaluation in evaluations)
