"""The stages of a search as its driver tells them, and what is known of their work before."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..redaction import redact
from .progress.events import Stage, Started
from .snapshot import TrialRow
from .time_left import Finals

if TYPE_CHECKING:
    from ..ledger.records import Suggestion, TrialRecord
    from ..study.plan import Plan
    from ..study.study import Study
    from .locations import Locations

READING = Stage(name="data", text="reading the data")
TRIALS = Stage(name="trials", text="running trials")
DRAWING = Stage(name="pictures", text="drawing the finalists")
TESTING = Stage(name="clusters", text="testing for clusters")
REGISTERING = Stage(name="registry", text="registering the model")
REPORTING = Stage(name="report", text="writing the report")
SENDING = Stage(name="mlflow", text="waiting for MLflow to have everything")


def connecting_stage(address: str | None) -> Stage:
    """Return the stage in which Ray is started or connected to."""
    where = "starting Ray on this machine"
    return Stage(name="ray", text=where if address is None else f"connecting to Ray at {address}")


def started(plan: "Plan", locations: "Locations") -> Started:
    """Return the event of a search that begins or goes on."""
    study = plan.study
    return Started(
        name=study.name,
        methods=study.methods,
        dataset=plan.dataset.name,
        trials=study.trials,
        replicas=study.replicas,
        folder=str(locations.artifacts / str(study.name)),
        storage=redact(locations.storage),
        tracking_uri=redact(locations.tracking_uri),
    )


def passes_of(plan: "Plan", trial: "Suggestion | TrialRecord") -> int:
    """Return how many passes over the data a trial makes unless it is stopped early."""
    return plan.branches[trial.method].config(trial.params).passes


def finals_of(study: "Study", device: str) -> Finals:
    """Return what is known of the finalists before any of them is trained.

    On the CPU a pass takes time in proportion to the replicas; a GPU has room for a few more.
    """
    share = study.finalist_seeds / study.replicas
    return Finals(
        count=min(study.finalists, study.trials), cost=1.0 if device == "cuda" else share
    )


def expected_finalist(trial: "TrialRecord", plan: "Plan", cost: float) -> TrialRow:
    """Return the row of a finalist that begins, whose trial says what a pass will take."""
    row = TrialRow.from_record(trial, passes=passes_of(plan, trial))
    seconds = trial.outcome.get("seconds", 0.0)
    pace = seconds / row.epoch * cost if seconds and row.epoch else None
    return replace(
        row, state="RUNNING", value=None, sd=0.0, epoch=0, pace=pace, seconds=0.0, reason=None
    )
