"""Trainings that stop at a deadline and go on later."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tests.benchmarks import STARTED

ENDING = 5.0
"""Seconds that are kept for saving and for ending."""


class Stopped(Exception):  # noqa: N818  no error
    """A training has stopped at the deadline and can go on later."""


@final
@dataclass(frozen=True)
class Deadline:
    """When nothing may begin that is not finished by then, None for never."""

    seconds: float | None

    def allows(self, work: float) -> bool:
        """Return whether there is time for so many seconds of work."""
        passed = time.monotonic() - STARTED
        return self.seconds is None or passed + work + ENDING < self.seconds


@final
class Stopwatch:
    """The seconds of a training over all its runs, kept in a file beside its checkpoints.

    `longest` is the longest interval between evaluations, which the next one may take too.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "seconds.json"
        before = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.before, self.longest = before.get("seconds", 0.0), before.get("longest", 0.0)
        self.start = self.lap = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return float(self.before + time.monotonic() - self.start)

    def interval(self) -> None:
        """End an interval between evaluations."""
        now = time.monotonic()
        self.longest, self.lap = max(self.longest, now - self.lap), now
        self.keep()

    def keep(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"seconds": self.seconds, "longest": self.longest}))
        temporary.replace(self.path)
