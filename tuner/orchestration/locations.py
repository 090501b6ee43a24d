"""Where a search keeps things: flag, then variable, then the current folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DiskError, UsageError
from ..ledger.storage import check_url
from ..redaction import redact


def _storage() -> str:
    return os.environ.get("TUNER_STORAGE") or f"sqlite:///{Path.cwd() / 'tuner.db'}"


def _tracking() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def _artifacts() -> Path:
    return Path(os.environ.get("TUNER_ARTIFACTS") or "tuner-artifacts").resolve()


@dataclass(frozen=True, kw_only=True)
class Locations:
    """The ledger's database, MLflow, and the folder of trials' files, which all nodes must see."""

    storage: str = field(default_factory=_storage)
    tracking_uri: str = field(default_factory=_tracking)
    artifacts: Path = field(default_factory=_artifacts)

    def check(self) -> None:
        """Raise unless the folder can be written and the ledger's URL is one."""
        check_url(self.storage)
        probe = self.artifacts / ".probe"
        try:
            self.artifacts.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise DiskError(
                f"the folder {self.artifacts} cannot be written ({error.strerror}): "
                "choose another with --artifacts or TUNER_ARTIFACTS"
            ) from None

    def check_nodes(self, nodes: int) -> None:
        """Raise where a file database is to serve more than one machine."""
        for flag, url in (
            ("TUNER_STORAGE", self.storage),
            ("MLFLOW_TRACKING_URI", self.tracking_uri),
        ):
            if nodes > 1 and url.startswith("sqlite"):
                raise UsageError(
                    f"{flag} is {redact(url)} and the cluster has {nodes} machines: SQLite is for "
                    f"one machine, so set {flag} to a PostgreSQL or server URL"
                )
