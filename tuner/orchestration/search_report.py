"""The report of a search as one HTML file, from its ledger and its files."""

import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FilesError
from ..ledger.ledger import Ledger
from ..ledger.outcomes import by_kind
from ..small_files import write_atomically
from ..training.places import scratch
from .locations import finalist_pictures
from .projection import finalists_of
from .result import Result
from .status import status_of

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from ..reports.search_page import FailureKind, Picture, SearchFacts
    from ..training.places import Place
    from .locations import Locations

FILE = "report.html"
_PACKAGES = ("tuner", "optuna", "torch", "mlflow", "ray")
_MAX_PICTURE = 8 * 2**20  # bytes


def write_report(name: str, path: Path, locations: "Locations") -> None:
    """Write the report of a search, also of one that runs or was stopped.

    Raises UsageError for an unknown search and DiskError where the file cannot be written.
    """
    with Ledger.load(locations.storage, name) as ledger:
        found = ledger.attribute("result")
        result = None if found is None else Result.from_mapping(found)
        text = _rendered(ledger, result, locations.artifacts / name, ended=False)
    _write(path, text)


def report_file(
    ledger: Ledger, result: Result | None, folder: "Place"
) -> tuple[Path | None, list[str]]:
    """Return a new file of this machine with the report of a search that ends, or why not.

    The result is None where no trial was usable. `folder` holds the files of the search. No
    error in it stops the search.
    """
    try:
        path = scratch() / FILE
        _write(path, _rendered(ledger, result, folder, ended=True))
    except Exception as error:
        return None, [f"the report was not written ({type(error).__name__}: {error})"]
    return path, []


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _rendered(ledger: Ledger, result: Result | None, folder: "Place", *, ended: bool) -> str:
    from ..reports.search_page import render

    return render(search_facts(ledger, result, folder, ended=ended))


def search_facts(
    ledger: Ledger, result: Result | None, folder: "Place", *, ended: bool
) -> "SearchFacts":
    """Gather what the report says; the result need not be in the ledger yet.

    A search that has `ended` may still hold its lease, to record its end.
    """
    from ..ledger.importances import importances
    from ..reports.search_page import SearchFacts

    status, trials, finalists = status_of(ledger), ledger.trials(), finalists_of(ledger)
    rank = 0 if result is None else result.shown
    pictures, why = _pictures(folder, rank)
    return SearchFacts(
        name=ledger.name,
        state=_state(status.state, result, ended=ended),
        stopped=status.stopped,
        total=status.total,
        seconds=status.seconds,
        record=ledger.record,
        trials=trials,
        finalists=finalists,
        failures=_failures(trials),
        importances=importances(ledger, status.methods),
        result=None if result is None else result.to_mapping(),
        pictures=pictures,
        shown=finalists[rank].number if rank < len(finalists) else None,
        no_pictures=why,
        versions=_versions(),
        written=time.time(),
    )


def _state(state: str, result: Result | None, *, ended: bool) -> str:
    """Return the state of a search."""
    if result is None:
        return "stopped" if ended else state
    return "done" if result.stopped is None else "stopped"


def _failures(trials: Sequence["TrialRecord"]) -> list["FailureKind"]:
    """Return the trials without a usable result by kind, the most frequent first."""
    from ..reports.search_page import FailureKind

    kinds = by_kind(t for t in trials if t.state == "FAIL" or (t.state == "COMPLETE" and t.reason))
    found = [
        FailureKind(
            kind=kind, trials=[trial.number for trial in failed], detail=_explanation(failed)
        )
        for kind, failed in kinds.items()
    ]
    return sorted(found, key=lambda kind: -len(kind.trials))


def _explanation(failed: Sequence["TrialRecord"]) -> str:
    """Return the first explanation of trials that failed for the same reason."""
    outcomes = [trial.outcome for trial in failed]
    details = [str(outcome.get("detail") or "").strip() for outcome in outcomes]
    # a reason may be longer than its kind, such as the message of an exception
    details += [reason for o in outcomes if ":" in (reason := str(o.get("reason") or ""))]
    return next(filter(None, details), "")


def _pictures(folder: "Place", rank: int) -> tuple[list["Picture"], str]:
    """Return the pictures of a finalist, or why there are none."""
    from ..reports.search_page import Picture

    try:
        own = finalist_pictures(folder, rank)
        files = [] if own is None else sorted(own.glob("*.png"))
        sizes = {path: path.stat().st_size for path in files}
        return [
            Picture(name=path.stem, content=path.read_bytes())
            for path, size in sizes.items()
            if size <= _MAX_PICTURE
        ], ""
    except (FilesError, OSError) as error:
        return [], f"The pictures could not be read ({error})."


def _versions() -> Mapping[str, str]:
    """Return the versions that write the report."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
