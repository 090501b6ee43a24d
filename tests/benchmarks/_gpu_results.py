"""What a run on a GPU has found: cases that may fail, in a file that is complete after each."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

Facts = dict[str, Any]

SHARES: Mapping[str, int] = {
    "steps": 40,
    "exactness": 10,
    "conformance": 20,
    "methods": 15,
    "kernels": 5,
    "sharing": 10,
}
"""The parts of a run in their order, and their shares of its time.

Sharing comes last, because it has to start processes and can use what the others leave.
"""

REHEARSAL: Mapping[str, int] = {
    "steps": 25,
    "exactness": 15,
    "conformance": 5,
    "methods": 15,
    "kernels": 5,
    "sharing": 35,
}
"""The shares on the CPU, where everything is tiny and starting processes is not."""

UNUSABLE = 70
"""The exit status of a process that gives up because its device no longer works."""


@final
@dataclass(frozen=True)
class Case:
    """Work with a name.

    `text` says in a few words what it found, "" for nothing worth a line. The case is begun only
    if `seconds` are left.
    """

    key: str
    work: Callable[[], Facts]
    text: Callable[[Facts], str]
    seconds: float = 0.0


@final
@dataclass(frozen=True)
class Budget:
    """The time of a run from `start`, in seconds since 1970 so that processes can share it.

    A part that needs less than its share leaves the rest to the parts after it.
    """

    start: float
    seconds: float
    parts: tuple[str, ...]
    shares: Mapping[str, int] = field(default_factory=lambda: SHARES)

    def end(self, part: str) -> float:
        """Return when a part ends."""
        shares = [self.shares[name] for name in self.parts]
        used = sum(shares[: self.parts.index(part) + 1])
        return self.start + self.seconds * used / sum(shares)

    @property
    def over(self) -> bool:
        """Whether nothing may begin any more."""
        return time.time() > self.start + self.seconds


@final
class Results:
    """The cases of a run by their keys, each with what it found or why it failed.

    A case has "seconds" and either what its work returned or "failed". The document also has the
    number of cases that each part "planned", and the key of the one that is "running".
    """

    def __init__(self, path: Path, document: Facts) -> None:
        self.path, self.document = path, document

    @classmethod
    def begin(cls, path: Path, facts: Facts) -> Self:
        """Return new results, and replace those of an earlier run."""
        results = cls(path, {**facts, "planned": {}, "running": None, "cases": {}})
        path.parent.mkdir(parents=True, exist_ok=True)
        results.write()
        return results

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the results in a file."""
        return cls(path, json.loads(path.read_text()))

    @property
    def cases(self) -> dict[str, Facts]:
        """The cases so far."""
        found: dict[str, Facts] = self.document["cases"]
        return found

    def write(self) -> None:
        """Write the file anew, so that it is complete at any time."""
        temporary = self.path.with_name(f".{self.path.name}")
        temporary.write_text(json.dumps(_finite(self.document), indent=1) + "\n")
        temporary.replace(self.path)

    def measure(
        self, part: str, cases: Sequence[Case], budget: Budget, recover: Callable[[], None]
    ) -> None:
        """Do the work of the cases until the part's time is over; `recover` after one failed."""
        self.document["planned"][part] = len(cases)
        for case in cases:
            if case.key in self.cases:  # of a process that did not survive a later case
                continue
            if time.time() + case.seconds > budget.end(part):
                break
            self._measure(case, budget.start)
            if "failed" in self.cases[case.key]:
                recover()
        self.write()

    def fail(self, key: str, reason: str, seconds: float = 0.0) -> None:
        """Record a case that failed."""
        self.document["running"] = None
        self.cases[key] = {"failed": reason, "seconds": round(seconds, 2)}
        self.write()
        print(f"         {key} failed: {reason}", flush=True)

    def _measure(self, case: Case, start: float) -> None:
        self.document["running"] = case.key
        self.write()
        began = time.monotonic()
        try:
            found = case.work()
        except Exception as error:  # no case may end the others
            self.fail(case.key, reason(error), time.monotonic() - began)
            return
        self.cases[case.key] = {**found, "seconds": round(time.monotonic() - began, 2)}
        self.document["running"] = None
        self.write()
        if text := case.text(found):
            print(f"{time.time() - start:7.1f} s  {case.key}: {text}", flush=True)


def reason(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


def silent(found: Facts) -> str:
    """Return nothing to say."""
    del found
    return ""


def _finite(value: Any) -> Any:
    """Return a value in which numbers that JSON does not have are text."""
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
