"""Brings MLflow up to date with a search: its runs, its result and its model; safe to repeat.

The points of the data are needed only where a model is registered.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..errors import SyncError
from ..ledger.ledger import Ledger
from ..redaction import redact
from ..registry import Registry
from .lost import lost_folders, note_lost
from .plans import outline_of, plan_of
from .projection import finalist_records, open_tracker, run_records
from .registration import is_settled, settled
from .result import Result
from .run_summary import log_result

if TYPE_CHECKING:
    from ..study.plan import Outline
    from .locations import Locations

_SYNC_SECONDS = 600.0


@final
@dataclass(frozen=True, kw_only=True)
class Synced:
    """What was done: the number of runs that MLflow has, of doubles that were deleted, and the
    folders whose files can no longer be had, which the doctor does not ask for again. `faults`
    says what is missing of the report.
    """

    runs: int
    doubles: int
    lost: tuple[str, ...]
    faults: tuple[str, ...] = ()


def sync(name: str, locations: "Locations") -> Synced:
    """Log every trial and finalist that has ended, and the result, and register its model."""
    with Ledger.load(locations.storage, name) as ledger:
        outline = outline_of(ledger)
        ledger.acquire_lease()
        runs, doubles, faults = _send_runs(outline, ledger, locations)
        _register(ledger, locations)
        lost = lost_folders(ledger, locations.artifacts / name)
        note_lost(ledger, lost)
    return Synced(runs=runs, doubles=doubles, lost=tuple(lost), faults=tuple(faults))


def _send_runs(
    outline: "Outline", ledger: Ledger, locations: "Locations"
) -> tuple[int, int, list[str]]:
    """Return how many runs MLflow has, how many it had twice, and why it has no report."""
    folder = locations.artifacts / ledger.name
    records = run_records(outline, ledger, folder) + finalist_records(outline, ledger, folder)
    tracker, _ = open_tracker(outline, ledger, locations)
    doubles = tracker.delete_doubles()
    for record in records:
        tracker.log(record)
    result = ledger.attribute("result")
    faults = []
    if result is not None:
        faults = log_result(tracker, ledger, Result.from_mapping(result), folder)
    if not tracker.close(_SYNC_SECONDS):
        why = f" ({tracker.problems[0]})" if tracker.problems else ""
        raise _sync_error(ledger.name, locations, why)
    return len(records), doubles, faults


def _register(ledger: Ledger, locations: "Locations") -> None:
    """Register the model of a search that has ended, if MLflow does not have it."""
    found = ledger.attribute("result")
    if found is None:
        return
    result = Result.from_mapping(found)
    if not is_settled(result, locations):
        result, _ = settled(plan_of(ledger), ledger, result, locations)  # told with the runs
    if result.pending is not None:
        raise _sync_error(ledger.name, locations, f" ({result.pending})")
    if result.champion is not None:
        Registry(locations.tracking_uri).complete(result.champion.name)


def _sync_error(name: str, locations: "Locations", why: str) -> SyncError:
    return SyncError(
        f"MLflow has not received all of search {name!r}{why}: run `tuner sync {name}` again "
        f"once {redact(locations.tracking_uri)} is reachable"
    )
