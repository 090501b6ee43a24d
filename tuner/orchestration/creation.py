"""A search that begins: its data, its name, and its record in the ledger."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ..data.formats import memory
from ..errors import NameTakenError
from ..ledger.ledger import Ledger
from ..redaction import redact
from ..study.plan import Plan, begins_text
from ..study.record import SCHEMA
from ..study.slugs import slug
from .locations import Locations, store_data
from .plans import search_spaces

if TYPE_CHECKING:
    from ..training.places import Place


def with_stored_data(plan: Plan, folder: "Place") -> Plan:
    """Write data given in memory to a file, from which the search can be resumed."""
    study = plan.study
    path, labels = store_data(partial(memory.save, study.dataset, study.labels), folder)
    return replace(plan, study=replace(study, dataset=path, labels=labels))


def created(plan: Plan, taken: Collection[str], locations: Locations) -> tuple[Plan, Ledger]:
    """Create a search in the ledger, with the next free name unless it was given one."""
    given, taken = plan.study.name, set(taken)
    while True:
        name = given or _unused_name(plan, taken)
        plan = replace(plan, study=replace(plan.study, name=name))
        try:
            return plan, Ledger.create(locations.storage, name, _record(plan))
        except NameTakenError:
            if given:
                raise
            taken.add(name)  # another search has just taken it


def _record(plan: Plan) -> dict[str, Any]:
    """Return what the ledger records of a search that begins."""
    return {
        "study": plan.study.to_mapping(),
        "identity": plan.identity(),
        "presets": [{"method": b.method, **b.preset.to_mapping()} for b in plan.beginning],
        "searched": search_spaces(plan.outline),
        "data": plan.outline.data.to_mapping(),
        "preparation": {
            "description": plan.dataset.description,
            "notes": list(plan.dataset.notes),
            "warnings": list(plan.dataset.warnings),
        },
        "code_version": version("tuner"),
        "trials": plan.study.trials,
        "schema": SCHEMA,
    }


def summary_lines(plan: Plan, locations: Locations) -> list[str]:
    """Return what a search says of itself when it begins."""
    study, data = plan.study, plan.dataset
    return [
        f"search {study.name}: {', '.join(study.methods)} on {data.name} ({len(data.train):,} + "
        f"{len(data.test):,} points), {study.trials} trials of {study.replicas_text}",
        f"data: {data.description}",
        f"first trials: {begins_text(plan)}",
        f"ledger: {redact(locations.storage)}",
        f"MLflow: {redact(locations.tracking_uri)}",
        f"files: {locations.artifacts / str(study.name)}",
        *(f"note: {note}" for note in data.notes),
        *(f"warning: {warning}" for warning in data.warnings),
    ]


def _unused_name(plan: Plan, taken: Collection[str]) -> str:
    """Return METHOD-DATA-n with the first n that makes it unused."""
    methods = plan.study.methods
    first = methods[0] if len(methods) == 1 else "several"
    stem = f"{first}-{slug(plan.dataset.name)}"
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
