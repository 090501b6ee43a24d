"""Progress in lines: for people who read a log, and for programs; and none at all."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, final

from ...errors import TunerError
from ...interrupts import received
from .base import View
from .events import STAGES, Evaluated, Event, Stage, Started, Usage
from .words import MAX_BEST, line, running_rows, stage_line

if TYPE_CHECKING:
    from ..snapshot import SearchSnapshot, TrialRow

Clock = Callable[[], float]
_SECONDS = 10.0
_INTERNAL, _INTERRUPT = 70, 2


@final
class PlainView(View):
    """A line every ten seconds or every tenth of the trials, whichever comes first."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._pace = _Pace(clock)
        self._usage: Usage | None = None

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Write a line if one is due."""
        if self._pace.is_due(_tenth(snapshot)):
            self.log(line(snapshot, self._usage))

    def show(self, event: Event) -> None:
        """Write a stage that begins, and how far it is if a line is due."""
        match event:
            case Stage():
                # the first stage may refuse what it reads, in one sentence that stands alone
                if self._pace.is_due_in(event) and event.name != STAGES[0]:
                    self.log(stage_line(event, self._pace.seconds_in_stage))
            case Evaluated():
                self.log(event.text)
            case Usage():
                self._usage = event

    def ended(self, row: "TrialRow") -> None:
        """Do nothing: lines count trials."""

    def log(self, text: str) -> None:
        """Write a message."""
        _write(self._stream, text)


@final
class JsonView(View):
    """A JSON object on each line; `docs/command-line.md` has its keys."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._pace = _Pace(clock)
        self._usage: Usage | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write(
            "ended",
            exit_code=_exit_code(error),
            error=None if error is None else _one_line(error),
            seconds=_rounded(self._clock() - self._started),
        )

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Write a snapshot if one is due."""
        if not self._pace.is_due(_tenth(snapshot)):
            return
        self._write(
            "snapshot",
            total=snapshot.total,
            done=snapshot.done,
            complete=snapshot.count("COMPLETE"),
            pruned=snapshot.count("PRUNED"),
            failed=snapshot.count("FAIL"),
            failures=snapshot.failures(),
            running=[_running(row) for row in running_rows(snapshot)],
            best=[_running(row) for row in snapshot.best(MAX_BEST)],
            seconds=_rounded(snapshot.seconds),
            seconds_left=_rounded(snapshot.eta),
            usage=None if self._usage is None else asdict(self._usage),
        )

    def show(self, event: Event) -> None:
        """Write an event; of a stage that advances, now and then."""
        match event:
            case Started():
                self._write("started", **asdict(event))
            case Stage():
                if self._pace.is_due_in(event):
                    self._write_stage(event)
            case Evaluated():
                left = _rounded(event.snapshot.eta)
                self._write("evaluation", **asdict(event.evaluation), seconds_left=left)
            case Usage():
                self._usage = event

    def ended(self, row: "TrialRow") -> None:
        """Write how a trial has ended."""
        self._write(
            "trial",
            **_running(row),
            state=row.state,
            reason=row.reason,
            seconds=_rounded(row.seconds),
        )

    def log(self, text: str) -> None:
        """Write a message."""
        self._write("message", text=text)

    def _write_stage(self, stage: Stage) -> None:
        self._write(
            "stage",
            stage=stage.name,
            text=stage.text,
            done=stage.done,
            total=stage.total,
            running=[_running(row) for row in stage.rows],
            seconds=_rounded(self._pace.seconds_in_stage),
            seconds_left=_rounded(stage.seconds_left),
        )

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        document = _finite({"event": event, "time": now, **values})
        _write(self._stream, json.dumps(document, ensure_ascii=False, allow_nan=False))


@final
class QuietView(View):
    """Nothing."""

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, snapshot: "SearchSnapshot") -> None:
        """Do nothing."""

    def show(self, event: Event) -> None:
        """Do nothing."""

    def ended(self, row: "TrialRow") -> None:
        """Do nothing."""

    def log(self, text: str) -> None:
        """Do nothing."""


@final
class _Pace:
    """Says when a line is due: at a new tenth or stage, or ten seconds after the last one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_time = -math.inf
        self._last_tenth = -1
        self._stage = ("", 0)
        self._stage_began = clock()

    @property
    def seconds_in_stage(self) -> float:
        return self._clock() - self._stage_began

    def is_due(self, tenth: int) -> bool:
        now = self._clock()
        if tenth == self._last_tenth and now - self._last_time < _SECONDS:
            return False
        self._last_time, self._last_tenth = now, tenth
        return True

    def is_due_in(self, stage: Stage) -> bool:
        now, (name, done) = self._clock(), self._stage
        if name != stage.name:
            self._stage_began = now
        elif done == stage.done and now - self._last_time < _SECONDS:
            return False
        self._last_time, self._stage = now, (stage.name, stage.done)
        return True


def _tenth(snapshot: "SearchSnapshot") -> int:
    return 10 * snapshot.done // max(snapshot.total, 1)


def _running(row: "TrialRow") -> dict[str, Any]:
    return {
        "number": row.number,
        "method": row.method,
        "epoch": row.epoch,
        "passes": row.passes,
        "value": row.value,
        "sd": row.sd,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _finite(value: Any) -> Any:
    """Return a value as JSON takes it: numbers that are not finite become null."""
    match value:
        case bool() | None | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
    return str(value)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code of the command line after an error."""
    if error is None:
        return 0
    if isinstance(error, TunerError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + (received() or _INTERRUPT)
    return _INTERNAL


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split())
    return text if isinstance(error, TunerError) else f"{type(error).__name__}: {text}"


def _write(stream: TextIO, text: str) -> None:
    """Write a line, if the stream takes any: a lost one must not end a search."""
    with suppress(OSError, ValueError):
        print(text, file=stream, flush=True)
