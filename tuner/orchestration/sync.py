"""A search told to MLflow again, from the ledger and the trials' files; harmless to repeat."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SyncError
from ..ledger.ledger import Ledger
from ..tracking.trial_records import finalist_record, plan_tags, trial_record
from ..training.evaluations import read_evaluations
from ..training.finalist import Finalist
from .search import open_tracker, plan_of

if TYPE_CHECKING:
    from ..study.study import Plan
    from ..tracking import RunRecord, Tracker
    from .locations import Locations

_PATIENCE = 600.0


def sync(name: str, locations: "Locations") -> int:
    """Tell MLflow every trial and finalist that has ended and the outcome; return how many."""
    ledger = Ledger.load(locations.storage, name)
    plan = plan_of(ledger)
    found = _records(plan, ledger, locations.artifacts / name)
    tracker, _ = open_tracker(plan, locations)
    for record in found:
        tracker.log(record)
    result = ledger.attribute("result")
    if result is not None:
        _finish(tracker, result, locations.artifacts / name)
    if not tracker.close(_PATIENCE):
        why = f" ({tracker.problems[0]})" if tracker.problems else ""
        raise SyncError(
            f"MLflow has not received all of search {name!r}{why}: run `tuner sync {name}` again "
            f"once {locations.tracking_uri} answers"
        )
    return len(found)


def _records(plan: "Plan", ledger: "Ledger", folder: Path) -> list["RunRecord"]:
    """Return the records of all that has ended, the best trial with the first one's pictures."""
    # which device it was is known to the run alone: saying nothing leaves that as it is
    tags = {key: text for key, text in plan_tags(plan, device="").items() if key != "device"}
    attribute: dict[str, Any] = ledger.attribute("finalists") or {}
    finalists = [Finalist.from_mapping(attribute[rank]) for rank in sorted(attribute, key=int)]
    records = []
    for entry in ledger.trials():
        if entry.state == "RUNNING":
            continue
        is_best = bool(finalists) and entry.number == finalists[0].number
        records.append(
            trial_record(
                plan,
                entry,
                read_evaluations(folder / f"trial-{entry.number:05d}"),
                {**tags, "best": "true"} if is_best else tags,
                artifacts=_pictures(folder, 0) if is_best else None,
            )
        )
    return records + [_told(finalist, folder, tags) for finalist in finalists]


def _told(finalist: Finalist, folder: Path, tags: dict[str, str]) -> "RunRecord":
    evaluations = read_evaluations(folder / f"finalist-{finalist.rank}")
    drawn = _pictures(folder, finalist.rank)
    return finalist_record(finalist, evaluations, tags, artifacts=drawn)


def _finish(tracker: "Tracker", result: dict[str, Any], folder: Path) -> None:
    champion = result["champion"]
    metrics = {"score/best": result["best"]["score"], "score/champion": champion["score"]}
    metrics |= {f"score/{name}": value for name, value in result["baselines"].items()}
    audit = {k: v for k, v in (result["audit"] or {}).items() if isinstance(v, float)}
    tags = {
        "best_trial": str(result["best"]["number"]),
        "champion": f"{champion['name']}/{champion['version']}",
        "promoted": str(champion["promoted"]).lower(),
    }
    trials: Sequence[int] = [row["trial"] for row in result["finalists"]]
    tracker.finish(
        metrics=metrics | {f"audit/{name}": value for name, value in audit.items()},
        tags=tags,
        artifacts=_pictures(folder, trials.index(champion["trial"])),
    )


def _pictures(folder: Path, rank: int) -> Path | None:
    drawn = folder / f"finalist-{rank}" / "pictures"
    return drawn if drawn.is_dir() else None
