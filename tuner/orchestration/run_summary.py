"""The outcome of a search as its parent run in MLflow shows it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import FilesError
from ..reports import plots
from ..training.places import upload
from .descriptions import result_description
from .locations import finalist_folder, finalist_pictures
from .search_report import report_file

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..tracking import Tracker
    from ..training.places import Place
    from .result import Result


def log_result(
    tracker: "Tracker", ledger: "Ledger", result: "Result", folder: "Place"
) -> list[str]:
    """Finish the parent run with a result's scores and audit, its tags, plots and report.

    The ledger has the description too, as a note. `folder` holds the files of the search.
    Without a champion the plots are those of the first finalist. Return an error message for a
    report that failed, which stops nothing.
    """
    rank = result.shown
    pictures = finalist_pictures(folder, rank)
    if pictures is not None and result.components is not None:
        with suppress(FilesError):  # the result matters more than its picture
            plots.save(plots.components(result.components), pictures / "score_by_k.png")
            upload(pictures, finalist_folder(folder, rank) / "pictures")
    report, faults = report_file(ledger, result, folder)
    found = result_description(result)
    ledger.annotate(f"{tracker.description}\n\n{found}", replace=True)
    tracker.finish(
        metrics=_metrics(result),
        tags=_tags(result),
        description=found,
        artifacts=pictures,
        report=report,
    )
    return faults


def _metrics(result: "Result") -> dict[str, float]:
    scores = {"best": result.best["score"], **result.baselines}
    if result.champion is not None:
        scores["champion"] = result.champion.score
    structure = result.structure or {}
    tests = {k: float(structure[k]) for k in ("p_value", "excess") if structure.get(k) is not None}
    audit = {k: v for k, v in (result.audit or {}).items() if isinstance(v, float)}
    return {
        **{f"score/{name}": value for name, value in scores.items()},
        **{f"structure/{name}": value for name, value in tests.items()},
        **{f"audit/{name}": value for name, value in audit.items()},
    }


def _tags(result: "Result") -> dict[str, str]:
    ended = "complete" if result.stopped is None else f"stopped: {result.stopped}"
    tags = {"best_trial": str(result.best["number"]), "ended": ended}
    if result.structure is not None:
        tags["clustered"] = str(result.structure["clustered"]).lower()
    if result.components is not None:
        low, high = result.components["plausible"]
        tags |= {"n_components": str(result.components["chosen"]), "plausible": f"{low} to {high}"}
    if result.champion is not None:
        tags["champion"] = f"{result.champion.name}/{result.champion.version}"
    tags["promoted"] = str(result.champion is not None and result.champion.promoted).lower()
    return tags
