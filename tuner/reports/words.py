"""Scores, settings, verdicts and times as text, the same in terminals, notebooks and pages."""

from collections.abc import Mapping, Sequence
from typing import Any


def score_text(row: Mapping[str, Any]) -> str:
    """Return a score with its spread."""
    if row["score"] is None:
        return "no score"
    return f"{row['score']:.3f}" + (f" ± {row['sd']:.3f}" if row.get("sd") else "")


def settings_text(values: Mapping[str, Any]) -> str:
    """Return settings on one line."""
    return ", ".join(f"{key} {short(value)}" for key, value in values.items())


def range_text(entry: Mapping[str, Any]) -> str:
    """Return an entry of a search space as text."""
    if "choice" in entry:
        text = ", ".join(map(str, entry["choice"]))
    else:
        low, high = entry.get("int") or entry["float"]
        text = f"{short(low)} to {short(high)}" + (" (log)" if entry.get("log") else "")
    when = ", ".join(f"{name} is {value}" for name, value in entry.get("when", {}).items())
    return f"{text} if {when}" if when else text


def interval_text(interval: Sequence[float]) -> str:
    """Return an interval in brackets, nothing where the test split was too small for one."""
    return " ({:.3f} to {:.3f})".format(*interval) if interval else ""


def structure_text(structure: Mapping[str, Any] | None) -> str:
    """Return the verdict of the test for clusters."""
    if structure is None:
        return ""
    if structure["clustered"] is None:
        return "too few points to test for clusters"
    verdict = "clusters" if structure["clustered"] else "no clusters"
    return (
        f"{verdict}: p = {structure['p_value']:.2f} against structureless clouds, excess "
        f"{structure['excess']:.2f} over the closest kind ({structure['cloud']})"
    )


def plausible_text(bounds: Sequence[int]) -> str:
    """Return which numbers of clusters are plausible: the chosen one alone, or a range."""
    low, high = bounds
    return "no other is plausible" if low == high else f"{low} to {high} are plausible"


def short(value: Any) -> str:
    """Return a value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def counts_text(trials: Mapping[str, int]) -> str:
    """Return the numbers of trials by state on one line."""
    states = {state: n for state, n in trials.items() if state != "total"}
    return ", ".join(f"{n} {state}" for state, n in states.items() if state == "complete" or n)


def audit_text(audit: Mapping[str, Any] | None) -> str:
    """Return the figures of an audit on one line."""
    figures = {k: v for k, v in (audit or {}).items() if isinstance(v, float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def restarts_text(restarts: int, halved: Sequence[int] = ()) -> str:
    """Return of how many restarts a replica is the best, and after which passes they were halved.

    Without passes the rule is named; nothing is returned without restarts.
    """
    if restarts == 1:
        return ""
    when = "within the first third of the passes"
    if halved:
        *first, last = map(str, halved)
        passes = f"passes {', '.join(first)} and" if first else "pass"
        when = f"after {passes} {last}"
    return f"best of {restarts} restarts per replica, halved {when}"


def duration(seconds: float) -> str:
    """Return a duration in at most two units."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"
    if minutes < 10:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    if minutes < 60:
        return f"{minutes:.0f} min"
    if hours < 24:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(days)} d {int(hours % 24)} h"
