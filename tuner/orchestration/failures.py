"""Counts the failures of a search: when to give up, and what to show of them."""

from collections import Counter
from typing import TYPE_CHECKING, final

from ..ledger.outcomes import failure_kind

if TYPE_CHECKING:
    from ..ledger.records import State

_IN_A_ROW = 5
_ERRORS = 5
_ERRORS_PER_COMPLETE = 9
_OF_SETTINGS = ("diverged", "collapsed", "no value", "oom", "timeout")
"""Failures that other settings may avoid; all others are errors, which have nothing to do with
settings."""


@final
class FailureCount:
    """The failures of this driver's trials.

    They are too many after 5 in a row, or after 5 errors if more than nine times as many trials
    end with an error as complete. Pruned trials count for the row, but not for that share, because
    an error may lie behind the pass at which they were stopped.
    """

    def __init__(self) -> None:
        self._in_a_row = self._complete = 0
        self._kinds: Counter[str] = Counter()
        self._details: dict[str, str] = {}

    def add(self, state: "State", reason: str | None, detail: str) -> None:
        """Count a trial that has ended."""
        self._complete += state == "COMPLETE"
        if state != "FAIL":
            self._in_a_row = 0
            return
        self._in_a_row += 1
        kind = failure_kind(reason)
        self._kinds[kind] += 1
        self._details.setdefault(kind, (detail or reason or "").strip())

    @property
    def too_many(self) -> bool:
        """Whether the next trial is likely to fail as well."""
        many = self._errors >= _ERRORS and self._errors > _ERRORS_PER_COMPLETE * self._complete
        return many or self._in_a_row >= _IN_A_ROW

    @property
    def _errors(self) -> int:
        return sum(n for kind, n in self._kinds.items() if kind not in _OF_SETTINGS)

    @property
    def why(self) -> str:
        """Why they are too many, in words."""
        if self._in_a_row >= _IN_A_ROW:
            return f"{self._in_a_row} trials failed in a row"
        return f"{self._errors} trials ended with an error and {self._complete} are complete"

    @property
    def summary(self) -> str:
        """The most frequent kind of failure with the first of its explanations, "" without any."""
        if not self._kinds:
            return ""
        ((kind, count),) = self._kinds.most_common(1)
        failed = self._kinds.total()
        return f"{count} of {failed} failures were {kind!r}: {self._details[kind]}"
