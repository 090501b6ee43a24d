"""The MLflow model registry: verified model versions and the aliases that mark their use.

A version is created only after its uploaded files have been downloaded and compared. The alias
`champion` marks the model in use, `challenger` the latest candidate, and `previous` the champion
before.

May import tracking, the ledger and the layers below. Only it and `tuner.tracking` import mlflow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loading import load as load
    from .versions import CHALLENGER as CHALLENGER
    from .versions import CHAMPION as CHAMPION
    from .versions import PREVIOUS as PREVIOUS
    from .versions import Registry as Registry
    from .versions import Version as Version

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registry", "Version", "load"]


# imported on first use, because names of models are needed without mlflow
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "loading" if name == "load" else "versions"
    return getattr(import_module(f".{module}", __name__), name)
