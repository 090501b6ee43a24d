"""A search as MLflow shows it, built from the ledger and the trials' files alone."""

import json
from typing import TYPE_CHECKING, Any

from ..study.slugs import slug
from ..tracking import Tracker
from ..tracking.records import finalist_run_record, plan_tags, trial_run_record
from ..training.evaluations import read_evaluations
from ..training.finalist import Finalist
from .descriptions import search_description
from .locations import finalist_folder, finalist_pictures, trial_folder

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..methods.config import Scalar
    from ..study.plan import Outline
    from ..tracking import RunRecord
    from ..training.places import Place
    from .locations import Locations

_RUNS_FOLDER = ".mlflow"  # of artifacts, where MLflow is a database that keeps none itself


def open_tracker(
    outline: "Outline", ledger: "Ledger", locations: "Locations"
) -> tuple[Tracker, str]:
    """Return a tracker for a search, and the id of its parent run, which it finds or creates."""
    tracker = Tracker(
        locations.tracking_uri,
        experiment=slug(outline.data.name),
        search=ledger.name,
        files=locations.artifacts / _RUNS_FOLDER,
        fence=ledger.check_lease,
    )
    params = {
        key: _param(value)
        for key, value in outline.study.to_mapping().items()
        if value not in (None, {}, [])
    }
    tags = plan_tags(outline)
    if version := ledger.record.get("code_version"):
        tags["code_version"] = version
    description = search_description(outline)
    ledger.annotate(description, replace=False)
    return tracker, tracker.open(
        tags=tags, params=params, data=outline.data, description=description
    )


def _param(value: Any) -> "Scalar":
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, int | float | str) else json.dumps(value)


def run_records(outline: "Outline", ledger: "Ledger", folder: "Place") -> list["RunRecord"]:
    """Return the records of all trials that have ended; the best one has plots."""
    tags, finalists = plan_tags(outline), finalists_of(ledger)
    records = []
    for trial in ledger.trials():
        if trial.state == "RUNNING":
            continue
        is_best = bool(finalists) and trial.number == finalists[0].number
        records.append(
            trial_run_record(
                outline,
                trial,
                read_evaluations(trial_folder(folder, trial.number)),
                {**tags, "best": "true"} if is_best else tags,
                artifacts=finalist_pictures(folder, 0) if is_best else None,
            )
        )
    return records


def finalist_records(outline: "Outline", ledger: "Ledger", folder: "Place") -> list["RunRecord"]:
    """Return the records of all finalists."""
    return [
        finalist_run_record(
            finalist,
            read_evaluations(finalist_folder(folder, finalist.rank)),
            plan_tags(outline),
            artifacts=finalist_pictures(folder, finalist.rank),
        )
        for finalist in finalists_of(ledger)
    ]


def finalists_of(ledger: "Ledger") -> list[Finalist]:
    """Return the finalists that the ledger holds, best first."""
    stored: dict[str, Any] = ledger.attribute("finalists") or {}
    return [Finalist.from_mapping(stored[rank]) for rank in sorted(stored, key=int)]
