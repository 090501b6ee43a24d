"""Scores, settings and verdicts as text, the same in the terminal and on pages."""

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


def short(value: Any) -> str:
    """Return a value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
