"""Which trials are usable, and how many failed of which kind."""

import math

import pytest

from tests.tuner.reports.search_facts import trial
from tuner.ledger.outcomes import by_kind, failure_counts, is_usable
from tuner.orchestration.snapshot import TrialRow


@pytest.mark.parametrize(
    ("value", "reason", "usable"),
    [
        (0.5, None, True),
        (0.5, "collapsed", False),
        (None, None, False),
        (math.nan, None, False),
        (-math.inf, None, False),
    ],
)
def test_a_record_and_its_row_are_usable_alike(
    value: float | None, reason: str | None, usable: bool
) -> None:
    record = trial(0, value=value, outcome={"reason": reason})
    assert is_usable(record) is is_usable(TrialRow.from_record(record)) is usable


def test_only_failed_trials_count_as_failures_and_details_make_no_kinds() -> None:
    reasons = ("ValueError: a", "ValueError: b", None, "diverged", "collapsed")
    trials = [trial(5, outcome={"reason": reason}) for reason in reasons[:-1]]
    trials.append(trial(0, outcome={"reason": reasons[-1]}))
    assert failure_counts(trials) == {"ValueError": 2, "diverged": 1, "unknown": 1}
    assert [len(same) for same in by_kind(trials).values()] == [2, 1, 1, 1]
