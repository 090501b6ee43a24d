"""Files of a search that were deleted, and cannot be made again without training again."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..training.evaluations import read_evaluations
from ..training.finalist import Finalist
from .locations import finalist_folder, finalist_models, trial_folder
from .projection import finalists_of

if TYPE_CHECKING:
    from ..ledger.ledger import Ledger
    from ..ledger.records import TrialRecord
    from ..training.places import Place

_LOST = "lost"


def lost_folders(ledger: "Ledger", folder: "Place") -> list[str]:
    """Return the names of the folders of trials and finalists from which something is gone."""
    trials = [trial_folder(folder, t.number).name for t in incomplete(ledger.trials(), folder)]
    return trials + [
        finalist_folder(folder, finalist.rank).name
        for finalist in finalists_of(ledger)
        if not _has_models(finalist, finalist_models(folder, finalist.rank, finalist.folder))
    ]


def incomplete(trials: "Iterable[TrialRecord]", folder: "Place") -> "list[TrialRecord]":
    """Return the trials whose evaluations on disk end before the last one in the ledger."""
    return [
        trial
        for trial in trials
        if _last_epoch(trial_folder(folder, trial.number)) < trial.outcome.get("epoch", 0)
    ]


def note_lost(ledger: "Ledger", folders: list[str]) -> None:
    """Note in the ledger that these folders are known to be incomplete."""
    if folders != known_lost(ledger):
        ledger.set_attribute(_LOST, folders)


def known_lost(ledger: "Ledger") -> list[str]:
    """Return the folders that are known to be incomplete."""
    return list(ledger.attribute(_LOST) or [])


def _has_models(finalist: Finalist, folder: "Place") -> bool:
    return all((folder / f"replica-{r}").is_dir() for r in range(len(finalist.scores)))


def _last_epoch(folder: "Place") -> int:
    return max((evaluation.epoch for evaluation in read_evaluations(folder)), default=0)
