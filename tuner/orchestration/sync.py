"""Logs a search to MLflow again, from the ledger and the trials' files; safe to repeat."""

from typing import TYPE_CHECKING, Any

from ..errors import SyncError
from ..ledger.ledger import Ledger
from ..redaction import redact
from ..study.result import Result
from ..tracking.records import finalist_run_record, plan_tags, trial_run_record
from ..training.evaluations import read_evaluations
from ..training.finalist import Finalist
from .locations import finalist_folder, finalist_pictures, trial_folder
from .plans import plan_of
from .run_summary import log_result
from .search import open_tracker

if TYPE_CHECKING:
    from ..study.study import Plan
    from ..tracking import RunRecord
    from ..training.places import Place
    from .locations import Locations

_SYNC_SECONDS = 600.0


def sync(name: str, locations: "Locations") -> int:
    """Log every trial and finalist that has ended, and the result; return how many runs."""
    ledger = Ledger.load(locations.storage, name)
    plan = plan_of(ledger)
    folder = locations.artifacts / name
    records = _records(plan, ledger, folder)
    tracker, _ = open_tracker(plan, locations)
    for record in records:
        tracker.log(record)
    result = ledger.attribute("result")
    if result is not None:
        log_result(tracker, Result.from_mapping(result), folder)
    if not tracker.close(_SYNC_SECONDS):
        why = f" ({tracker.problems[0]})" if tracker.problems else ""
        raise SyncError(
            f"MLflow has not received all of search {name!r}{why}: run `tuner sync {name}` again "
            f"once {redact(locations.tracking_uri)} is reachable"
        )
    return len(records)


def _records(plan: "Plan", ledger: Ledger, folder: "Place") -> list["RunRecord"]:
    """Return the records of all ended trials and finalists; the best trial has plots."""
    # the ledger does not know the device, so the tag of an existing run stays as it is
    tags = {key: text for key, text in plan_tags(plan, device="").items() if key != "device"}
    attribute: dict[str, Any] = ledger.attribute("finalists") or {}
    finalists = [Finalist.from_mapping(attribute[rank]) for rank in sorted(attribute, key=int)]
    records = []
    for trial in ledger.trials():
        if trial.state == "RUNNING":
            continue
        is_best = bool(finalists) and trial.number == finalists[0].number
        records.append(
            trial_run_record(
                plan,
                trial,
                read_evaluations(trial_folder(folder, trial.number)),
                {**tags, "best": "true"} if is_best else tags,
                artifacts=finalist_pictures(folder, 0) if is_best else None,
            )
        )
    return records + [_finalist_record(finalist, folder, tags) for finalist in finalists]


def _finalist_record(finalist: Finalist, folder: "Place", tags: dict[str, str]) -> "RunRecord":
    evaluations = read_evaluations(finalist_folder(folder, finalist.rank))
    pictures = finalist_pictures(folder, finalist.rank)
    return finalist_run_record(finalist, evaluations, tags, artifacts=pictures)
