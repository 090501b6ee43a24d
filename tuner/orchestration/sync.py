"""A search told to MLflow again, from the ledger and the trials' files; harmless to repeat."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SyncError
from ..tracking.trial_records import finalist_record, plan_tags, trial_record
from ..training.finalist import Finalist
from ..training.trial import curve
from .search import open_tracker, plan_of
from .status import opened

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..study.study import Plan
    from ..tracking import RunRecord, Tracker
    from .locations import Place

_PATIENCE = 600.0


def replay(name: str, place: "Place") -> int:
    """Tell MLflow every trial and finalist that has ended and the outcome; return how many."""
    ledger = opened(name, place.storage)
    plan = plan_of(ledger)
    found = _records(plan, ledger, place.artifacts / name)
    tracker, _ = open_tracker(plan, place)
    for record in found:
        tracker.project(record)
    result = ledger.noted("result")
    if result is not None:
        _finish(tracker, result, place.artifacts / name)
    if not tracker.close(_PATIENCE):
        why = f" ({tracker.problems[0]})" if tracker.problems else ""
        raise SyncError(
            f"MLflow has not received all of search {name!r}{why}: run `tuner sync {name}` again "
            f"once {place.tracking_uri} answers"
        )
    return len(found)


def _records(plan: "Plan", ledger: "Ledger", folder: Path) -> list["RunRecord"]:
    """Return the records of all that has ended, the best trial with the first one's pictures."""
    # which device it was is known to the run alone: saying nothing leaves that as it is
    tags = {key: text for key, text in plan_tags(plan, device="").items() if key != "device"}
    noted: dict[str, Any] = ledger.noted("finalists") or {}
    finalists = [Finalist.from_mapping(noted[rank]) for rank in sorted(noted, key=int)]
    records = []
    for entry in ledger.entries():
        if entry.state == "RUNNING":
            continue
        is_best = bool(finalists) and entry.number == finalists[0].number
        records.append(
            trial_record(
                plan,
                entry,
                curve(folder / f"trial-{entry.number:05d}"),
                {**tags, "best": "true"} if is_best else tags,
                artifacts=_pictures(folder, 0) if is_best else None,
            )
        )
    return records + [_told(finalist, folder, tags) for finalist in finalists]


def _told(finalist: Finalist, folder: Path, tags: dict[str, str]) -> "RunRecord":
    evaluations = curve(folder / f"finalist-{finalist.rank}")
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
