"""The sections about the course of a search: history, early stopping, failures, all trials."""

from collections import Counter
from typing import TYPE_CHECKING

from ...ledger.outcomes import is_usable
from ..words import score_text, settings_text
from . import charts
from .blocks import Block, Chart, Code, Paragraph, Section, Table
from .facts import SearchFacts, best_so_far, last_value

if TYPE_CHECKING:
    from ...ledger.records import TrialRecord

MAX_ROWS = 100
_MAX_DETAIL = 2_000  # characters
_LISTED = 12
_ORDER = {"COMPLETE": 0, "PRUNED": 1, "RUNNING": 2, "FAIL": 3}
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running", "FAIL": "failed"}
_KEYS = {
    "complete": "complete",
    "collapsed": "complete, without clusters",
    "pruned": "stopped early",
    "running": "running",
    "failed": "failed",
}


def history(facts: SearchFacts) -> Section:
    """Return the value of each trial."""
    if all(last_value(trial) is None for trial in facts.trials):
        text = "No trial has a value yet."
        return Section("history", "History of trials", [Paragraph(text)])
    present = {charts.mark(trial) for trial in facts.trials}
    keys = [(css, meaning) for css, meaning in _KEYS.items() if css in present]
    counts = ", ".join(
        f"{facts.count(s):,} {name}" for s, name in _STATES.items() if facts.count(s)
    )
    caption = "The value of each trial, of an incomplete one the last that it reported. Values "
    caption += "far below the others are drawn at the lower edge."
    chart = Chart(charts.history(facts.trials), caption, [*keys, ("best", "best so far")])
    blocks: list[Block] = [Paragraph(f"Trials: {counts}."), chart]
    steps = list(best_so_far(facts.trials))[-_LISTED:]
    if steps:
        rows = [(str(trial.number), trial.method, f"{trial.value:.3f}") for trial in steps]
        headings = ("trial", "method", "best so far")
        blocks.append(Table(headings, rows, frozenset({0, 2})))
    return Section("history", "History of trials", blocks)


def stopping(facts: SearchFacts) -> Section:
    """Return how many trials were stopped early, and the curves of their values."""
    rule = facts.study.get("scheduler", "")
    pruned = [trial for trial in facts.trials if trial.state == "PRUNED"]
    at = Counter(max(t.intermediate_values) for t in pruned if t.intermediate_values)
    blocks: list[Block] = [Paragraph(_stopped_text(rule, len(pruned), at, len(facts.trials)))]
    if at:
        svg = charts.pruned_by_epoch(at)
        blocks.append(Chart(svg, "Trials stopped early, by the epoch at which they were."))
    told = sum(1 for trial in facts.trials if len(trial.intermediate_values) > 1)
    if told:
        cut = ""
        if told > charts.MAX_CURVES:
            cut = f" {charts.MAX_CURVES} of {told:,} curves are drawn, evenly by their last value."
        keys = (("complete", "complete"), ("pruned", "stopped early"), ("best", "best"))
        svg = charts.learning_curves(facts.trials)
        blocks.append(Chart(svg, f"The values that trials reported by epoch.{cut}", keys))
    else:
        blocks.append(Paragraph("No trial reported more than one value, so there are no curves."))
    return Section("stopping", "Early stopping", blocks)


def _stopped_text(rule: str, pruned: int, at: Counter[int], trials: int) -> str:
    if rule == "none":
        return "Early stopping was switched off."
    by = f" by {rule}" if rule else ""
    if not pruned:
        return f"No trial was stopped early{by}."
    often = sorted(at.most_common(_LISTED))
    where = ", ".join(f"{count:,} at epoch {epoch}" for epoch, count in often)
    more = ", and others at later or rarer epochs" if len(at) > _LISTED else ""
    return f"{pruned:,} of {trials:,} trials were stopped early{by}: {where}{more}."


def failures(facts: SearchFacts) -> Section:
    """Return the trials without a usable result, by reason."""
    if not facts.failures:
        return Section("failures", "Failures", [Paragraph("No trial failed or collapsed.")])
    blocks: list[Block] = []
    rows = [(kind.kind, f"{len(kind.trials):,}", str(kind.trials[0])) for kind in facts.failures]
    blocks.append(Table(("reason", "trials", "first trial"), rows, frozenset({1, 2})))
    for kind in facts.failures:
        if kind.detail:
            blocks.append(Paragraph(f"{kind.kind}, as trial {kind.trials[0]} told it:"))
            blocks.append(Code(_cut(kind.detail)))
    return Section("failures", "Failures", blocks)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}…"


def all_trials(facts: SearchFacts) -> Section:
    """Return the table of trials, best first."""
    heading = "All trials"
    if not facts.trials:
        return Section("trials", heading, [Paragraph("No trial has begun.")])
    shown = sorted(facts.trials, key=_rank)[:MAX_ROWS]
    text = f"All {len(facts.trials):,} trials, best first."
    if len(shown) < len(facts.trials):
        text = f"The best {MAX_ROWS} of {len(facts.trials):,} trials, best first; the ledger and "
        text += "MLflow have the others."
    headings = ("trial", "method", "state", "score", "epochs", "settings")
    table = Table(headings, [_row(trial) for trial in shown], frozenset({0, 3, 4}))
    return Section("trials", heading, [Paragraph(text), table])


def _rank(trial: "TrialRecord") -> tuple[int, bool, float, int]:
    value = last_value(trial)
    unusable = trial.state == "COMPLETE" and not is_usable(trial)
    return _ORDER[trial.state], unusable, -value if value is not None else 0.0, trial.number


def _row(trial: "TrialRecord") -> tuple[str, ...]:
    value = last_value(trial)
    score = (
        score_text({"score": value, "sd": trial.outcome.get("sd")}) if value is not None else ""
    )
    reason, state = trial.reason, _STATES[trial.state]
    reported = max(trial.intermediate_values, default="")
    return (
        str(trial.number),
        trial.method,
        f"{state}: {reason}" if reason else state,
        score,
        str(trial.outcome.get("epoch", reported)),
        settings_text(trial.params),
    )
