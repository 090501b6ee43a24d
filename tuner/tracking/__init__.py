"""MLflow tracking: writes the ledger's trials to MLflow runs in the background.

Each dataset has one experiment, each search a parent run, and each trial or finalist a child run.
Writing the same record twice has no further effect. Every call names its run, so no active run is
needed.

May import the ledger and the layers below it. Only it and `tuner.registry` import mlflow.
"""

from .connection import check, connect
from .records import RunRecord
from .tracker import Tracker

__all__ = ["RunRecord", "Tracker", "check", "connect"]
