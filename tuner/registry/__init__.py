"""The MLflow registry: complete, verified versions, and the aliases that say which one counts.

A version is created only after its files have been read back. `champion` is the model in use,
`challenger` one that has been nominated, `previous` the champion before.
"""

from .loading import load
from .versions import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registry", "Version", "load"]
