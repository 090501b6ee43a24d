"""What a search found, as pairs of a name and a text."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ..redaction import redact
from ..reports.words import (
    audit_text,
    counts_text,
    duration,
    interval_text,
    plausible_text,
    restarts_text,
    score_text,
    settings_text,
    structure_text,
)
from .result import Result

_SHOWN_COMPONENTS = 5


def result_facts(result: Result) -> list[tuple[str, str]]:
    """Return the facts of a result, without those that have nothing to say."""
    best = result.best
    facts = [
        (
            "search",
            f"{result.search}: {_size_text(result)} in {duration(result.seconds)}, "
            f"{counts_text(result.counts)}",
        ),
        ("stopped", _stopped_text(result.search, result.stopped)),
        ("best", f"trial {best['number']}, {best['method']}: {score_text(best)}"),
        ("settings", settings_text(best["params"])),
        *_finalist_facts(result.finalists),
        ("restarts", _restarts_text(result)),
        ("baselines", ", ".join(f"{k} {v:.3f}" for k, v in result.baselines.items())),
        ("structure", structure_text(result.structure)),
        ("champion", _champion_text(result)),
        *_components_facts(result.components),
        ("audit", audit_text(result.audit)),
        *(("note", note) for note in result.notes),
        ("MLflow", redact(result.tracking_uri)),
    ]
    return [(name, text) for name, text in facts if text]


def facts_text(facts: Sequence[tuple[str, str]]) -> str:
    """Return facts as lines of text."""
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:{width}}  {text}" for name, text in facts)


def facts_html(facts: Sequence[tuple[str, str]]) -> str:
    """Return facts as a table for a notebook."""
    rows = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in facts
    )
    return f"<table>{rows}</table>"


def _size_text(result: Result) -> str:
    asked = "" if result.stopped is None else f" of {result.asked}"
    return f"{result.counts['total']}{asked} trials"


def _stopped_text(search: str, why: str | None) -> str:
    return "" if why is None else f"{why}; `tuner resume {search}` runs the others"


def _champion_text(result: Result) -> str:
    champion = result.champion
    if result.pending is not None:
        return "not registered yet"
    if champion is None:
        return "none, nothing was registered"
    outcome = "promoted" if champion.promoted else "not promoted"
    return (
        f"{champion.name} version {champion.version}, {outcome}: score "
        f"{champion.score:.3f}{interval_text(champion.interval)} on the test split"
        + _confidence_text(champion.confidence)
    )


def _confidence_text(confidence: float | None) -> str:
    """Return how sure the choice of the replica is, nothing where it was not tested."""
    return (
        "" if confidence is None else f", at least the runner-up's in {confidence:.0%} of halves"
    )


def _components_facts(components: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the number of clusters with its uncertainty, and the best scores by number."""
    if components is None:
        return []
    best = sorted(components["scores"], key=lambda row: -row["score"])[:_SHOWN_COMPONENTS]
    scores = [f"{row['n_components']}: {score_text(row)}" for row in best]
    return [
        ("K", f"{components['chosen']}; {plausible_text(components['plausible'])}"),
        ("best by K", ", ".join(scores)),
    ]


def _restarts_text(result: Result) -> str:
    """Return the restarts of the finalist that is shown, nothing without any."""
    if not result.finalists:
        return ""
    row = result.finalists[result.shown]
    return restarts_text(row.get("restarts", 1), row.get("halved", ()))


def _finalist_facts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (
            "finalists" if index == 0 else "",
            f"trial {row['trial']}, {row['method']}: "
            + (row["failure"] or f"{score_text(row)}, chosen replica {row['chosen']:.3f}"),
        )
        for index, row in enumerate(rows)
    ]
