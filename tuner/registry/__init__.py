"""The MLflow model registry: verified model versions and the aliases that mark their use.

A version is created only after its uploaded files have been downloaded and compared. The alias
`champion` marks the model in use, `challenger` the latest candidate, and `previous` the champion
before.

May import tracking, the ledger and the layers below. Only it and `tuner.tracking` import mlflow.
"""

from .loading import load
from .versions import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registry", "Version", "load"]
