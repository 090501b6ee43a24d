"""The last section: data and preparation, study, search space, versions and dates."""

from datetime import UTC, datetime
from typing import Any

from ..words import range_text, short
from .blocks import Block, Listing, Section, Table, facts_table
from .facts import SearchFacts

_OF_DATA = ("dataset", "labels", "preparation", "methods", "spaces", "name")
_MOST = 300  # characters of a value


def about(facts: SearchFacts) -> Section:
    """Return what was searched, with what, and when."""
    blocks: list[Block] = [facts_table(_data(facts))]
    notes = facts.record.get("preparation", {})
    messages = [*notes.get("notes", ()), *notes.get("warnings", ())]
    if messages:
        blocks.append(Listing([str(message) for message in messages]))
    blocks += [facts_table(_study(facts)), *_spaces(facts), facts_table(_dates(facts))]
    return Section("about", "Data, study and versions", blocks)


def _data(facts: SearchFacts) -> list[tuple[str, str]]:
    study, data = facts.study, facts.record.get("data", {})
    points = f"{data['train']:,} for training, {data['test']:,} for tests" if data else ""
    flags = study.get("preparation") or {}
    return [
        ("data", str(data.get("name", ""))),
        ("source", str(study.get("dataset", ""))),
        ("labels", "" if study.get("labels") is None else str(study["labels"])),
        ("points", points),
        ("shape of a point", " × ".join(map(str, data.get("shape", ())))),
        ("points as trained on", str(facts.record.get("preparation", {}).get("description", ""))),
        ("preparation", ", ".join(f"{k}: {_text(v)}" for k, v in flags.items()) or "default"),
        ("fingerprint", str(data.get("fingerprint", ""))),
    ]


def _study(facts: SearchFacts) -> list[tuple[str, str]]:
    own = {key: value for key, value in facts.study.items() if key not in _OF_DATA}
    shown = {key: _text(value) for key, value in own.items() if value not in (None, {}, [])}
    names = {"methods": ", ".join(facts.methods), **shown}
    return [(key.replace("_", " "), value) for key, value in names.items()]


def _spaces(facts: SearchFacts) -> list[Block]:
    rows = [
        (method, name, range_text(entry))
        for method in facts.methods
        for name, entry in facts.searched(method).items()
    ]
    return [Table(("method", "searched setting", "range"), rows)] if rows else []


def _dates(facts: SearchFacts) -> list[tuple[str, str]]:
    started = min((trial.started for trial in facts.trials if trial.started), default=None)
    ended = max((trial.ended for trial in facts.trials if trial.ended), default=None)
    devices = sorted({str(t.outcome["device"]) for t in facts.trials if t.outcome.get("device")})
    return [
        ("first trial started", _date(started)),
        ("last trial ended", _date(ended)),
        ("trials took", f"{facts.seconds:,.0f} s" if facts.seconds else ""),
        ("trained on", ", ".join(devices)),
        ("MLflow", "" if facts.result is None else str(facts.result["tracking_uri"])),
        ("started by tuner", str(facts.record.get("code_version", ""))),
        *facts.versions.items(),
        ("this page written", _date(facts.written)),
    ]


def _date(seconds: float | None) -> str:
    """Return a time in UTC."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(each)}" for key, each in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else short(value)


def _text(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
