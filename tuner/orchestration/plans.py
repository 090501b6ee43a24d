"""The plan of a search in the ledger, which must be the one that it was started with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.summary import DataSummary
from ..errors import DataError, UsageError
from ..ledger.ledger import Ledger
from ..study.plan import Outline, Plan, outline, prepare
from ..study.record import SCHEMA
from ..study.study import Study
from ..training.places import is_store, local_copy, place

DATA_FOLDER = ".data"
"""Name of the folder among the artifacts of searches for data that were given in memory."""

_DATA_NAME = "data"  # which tuner.data gives them


def plan_of(ledger: Ledger) -> Plan:
    """Return the plan of a search in the ledger; raise if data or search spaces have changed."""
    record = _record(ledger)
    plan = _prepared(Study.from_mapping(record["study"]), record)
    now, then = plan.identity(), record["identity"]
    if now["data"] != then["data"]:
        raise DataError(
            f"search {ledger.name!r} was started on data with fingerprint {then['data'][:12]}… "
            f"but {plan.study.dataset} now has fingerprint {now['data'][:12]}…: restore the data, "
            "or start a new search"
        )
    _check_settings(ledger, plan.outline)
    return plan


def outline_of(ledger: Ledger) -> Outline:
    """Return the outline of a search in the ledger; raise if search spaces have changed.

    The data are read only for a search that a version began which did not record what they are.
    """
    record = _record(ledger)
    if "data" not in record:
        return plan_of(ledger).outline
    data = DataSummary.from_mapping(record["data"])
    found = outline(Study.from_mapping(record["study"]), data, record)
    _check_settings(ledger, found)
    return found


def _record(ledger: Ledger) -> dict[str, Any]:
    record = ledger.record
    if record["schema"] > SCHEMA:
        raise UsageError(
            f"search {ledger.name!r} has schema {record['schema']} but this version of tuner "
            f"supports schemas up to {SCHEMA}: upgrade tuner"
        )
    return record


def _check_settings(ledger: Ledger, found: Outline) -> None:
    """Raise unless a search still has the settings and search spaces it was started with."""
    record, now = ledger.record, found.identity()
    then = record["identity"]
    if now != then:
        params = {**record.get("searched", {}), **then}
        changed = _differences(params, {**search_spaces(found), **now})
        raise UsageError(
            f"search {ledger.name!r} was started with other settings ({'; '.join(changed)}): "
            "restore them, or start a new search"
        )


def _prepared(study: Study, record: Mapping[str, Any]) -> Plan:
    """Prepare a recorded study; data that were given in memory keep the name that they had then.

    Those may be in an object store.
    """
    stored = place(text) if is_store(text := str(study.dataset)) else Path(text)
    if stored.parent.parent.name != DATA_FOLDER:
        return prepare(study, record)
    copy = local_copy(stored.parent) / stored.name
    if not copy.is_file():
        raise DataError(f"there are no data at {stored}: restore them, or start a new search")
    plan = prepare(replace(study, dataset=str(copy)), record)
    return replace(plan, study=study, dataset=replace(plan.dataset, name=_DATA_NAME))


def search_spaces(plan: Outline) -> dict[str, Any]:
    """Return the fixed value or search range of every setting of a plan, by METHOD.SETTING."""
    found: dict[str, Any] = {}
    for name, branch in plan.branches.items():
        entries = {**branch.base, **branch.space.to_mapping()["space"]}
        found |= {f"{name}.{key}": entry for key, entry in entries.items()}
    return found


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a description of each difference.

    Hashes of spaces are included only if nothing else differs.
    """
    changed = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
    settings = [key for key in changed if key != "spaces"]
    return [
        f"{key} was {then.get(key, 'absent')} and is {now.get(key, 'absent')}"
        for key in settings or changed
    ]
