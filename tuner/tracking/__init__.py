"""MLflow runs as a projection of the ledger: off the training path, and harmless to repeat.

One experiment per data set, a parent run per search, a child run per trial or finalist. All calls
name their run; there is no active run. What is already there is asked for once, after a restart.
"""

from .connection import check, connect
from .records import RunRecord
from .tracker import Tracker

__all__ = ["RunRecord", "Tracker", "check", "connect"]
