"""Words and figures of searches, as the terminal, notebooks and MLflow show them."""

from collections.abc import Mapping
from typing import Any


def settings_text(values: Mapping[str, Any]) -> str:
    """Return settings on one line."""
    return ", ".join(f"{key} {short(value)}" for key, value in values.items())


def score_text(row: Mapping[str, Any]) -> str:
    """Return a score with its spread."""
    if row["score"] is None:
        return "no score"
    return f"{row['score']:.3f}" + (f" ± {row['sd']:.3f}" if row.get("sd") else "")


def audit_text(audit: Mapping[str, Any] | None) -> str:
    """Return the figures of an audit on one line."""
    figures = {k: v for k, v in (audit or {}).items() if isinstance(v, float)}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def counts_text(trials: Mapping[str, int]) -> str:
    """Return the numbers of trials by state on one line."""
    states = {state: n for state, n in trials.items() if state != "total"}
    return ", ".join(f"{n} {state}" for state, n in states.items() if state == "complete" or n)


def short(value: Any) -> str:
    """Return a value with at most four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
