"""The outcome of a search as its parent run in MLflow shows it."""

from pathlib import Path
from typing import TYPE_CHECKING

from .locations import finalist_pictures

if TYPE_CHECKING:
    from ..study.result import Result
    from ..tracking import Tracker


def log_result(tracker: "Tracker", result: "Result", folder: Path) -> None:
    """Finish the parent run with a result's scores and audit, its tags and the champion's plots.

    `folder` holds the files of the search.
    """
    ranks = {finalist["trial"]: rank for rank, finalist in enumerate(result.finalists)}
    tracker.finish(
        metrics=_metrics(result),
        tags=_tags(result),
        artifacts=finalist_pictures(folder, ranks[result.champion["trial"]]),
    )


def _metrics(result: "Result") -> dict[str, float]:
    scores = {
        "best": result.best["score"],
        "champion": result.champion["score"],
        **result.baselines,
    }
    audit = {k: v for k, v in (result.audit or {}).items() if isinstance(v, float)}
    return {
        **{f"score/{name}": value for name, value in scores.items()},
        **{f"audit/{name}": value for name, value in audit.items()},
    }


def _tags(result: "Result") -> dict[str, str]:
    champion = result.champion
    return {
        "best_trial": str(result.best["number"]),
        "champion": f"{champion['name']}/{champion['version']}",
        "promoted": str(champion["promoted"]).lower(),
    }
