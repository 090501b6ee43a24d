"""MLflow tracking: writes the ledger's trials to MLflow runs in the background.

Each dataset has one experiment, each search a parent run, and each trial or finalist a child run.
Writing the same record twice has no further effect. Every call names its run, so no active run is
needed.

May import the ledger and the layers below it. Only it and `tuner.registry` import mlflow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import check as check
    from .connection import connect as connect
    from .records import RunRecord as RunRecord
    from .tracker import Tracker as Tracker

_MODULES = {
    "RunRecord": "records",
    "Tracker": "tracker",
    "check": "connection",
    "connect": "connection",
}
__all__ = ["RunRecord", "Tracker", "check", "connect"]


# imported on first use, because the newest search is looked up without mlflow
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
