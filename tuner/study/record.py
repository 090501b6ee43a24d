"""The record of a search in the ledger, and how those of earlier versions are read."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.preparation import INFERRED
from ..errors import UsageError
from .older_settings import added_settings

SCHEMA = 5
_SEARCHED_SINCE = {"em_vae.revive_below": 0.02, "em_flow.revive_below": 0.02}
"""Settings that no search of schema 1 varied, and the values that they had."""
_SEARCHED_SINCE_4 = ("em_vae", "em_flow")
"""Methods of schema 4 that have settings since. Before, those follow from the lack of presets."""


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a search as this version would have written it.

    In schema 1 the objective `score` was modularity. What was searched is kept as spaces given by
    the user, because the ranges of the methods have changed, that of K among them. Up to schema 2
    the scaling was guessed, and there was nothing to say about the data. Up to schema 3 no preset
    could be named, and those that were taken are not recorded. In schema 4 no E-step averaged over
    neighbourhoods. Raises UsageError for a record that no version can have written.
    """
    _check(record)
    schema = record.get("schema", 1)
    if schema >= SCHEMA or "study" not in record:
        return {**record, "schema": schema}
    study = {"preset": None, **record["study"]}
    if schema > 3:
        study["fixed"] = {**_without_additions(study["methods"]), **study.get("fixed", {})}
    if schema > 2:
        return {**record, "study": study, "schema": SCHEMA}
    study = {"preparation": {"scale": INFERRED}, **study}
    identity = dict(record.get("identity", {}))
    if schema > 1:
        return {**record, "study": study, "schema": SCHEMA}
    for document in (study, identity):
        if document.get("objective") == "score":
            document["objective"] = "modularity"
    study["spaces"] = _with_ranges(study.get("spaces", {}), record.get("searched", {}))
    study["fixed"] = {
        **{k: v for k, v in _SEARCHED_SINCE.items() if k.split(".")[0] in study["methods"]},
        **study.get("fixed", {}),
    }
    return {**record, "study": study, "identity": identity, "schema": SCHEMA}


def _without_additions(methods: Sequence[str]) -> dict[str, Any]:
    return {
        f"{method}.{setting}": value
        for method in methods
        if method in _SEARCHED_SINCE_4
        for setting, value in added_settings(method).items()
    }


def _check(record: Any) -> None:
    """Raise UsageError unless a record has what every version has written."""
    if not isinstance(record, Mapping):
        raise _damaged(f"is {record!r}")
    study, schema, trials = record.get("study"), record.get("schema", 1), record.get("trials")
    if type(schema) is not int or schema < 1:
        raise _damaged(f"has schema {schema!r}")
    if type(trials) is not int or trials < 0:  # 0: the time budget ended before the first
        raise _damaged(f"has trials {trials!r}")
    if not isinstance(study, Mapping) or not isinstance(study.get("methods"), list):
        raise _damaged("describes no study")


def _damaged(what: str) -> UsageError:
    return UsageError(
        f"the record of this search in its ledger {what}: restore the ledger from a backup, or "
        "start a new search"
    )


def _with_ranges(spaces: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spaces that a user gave, with all ranges that were searched."""
    found = {name: dict(document) for name, document in spaces.items()}
    for key, entry in searched.items():
        method, setting = key.rsplit(".", 1)
        if isinstance(entry, dict):  # else it is the value of a setting that was fixed
            document = found.setdefault(method, {"space": {}})
            document["space"] = {setting: entry, **document["space"]}
    return found
