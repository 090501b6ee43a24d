"""Where a search stores its data: set by flags, else by variables, else the current folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DiskError, UsageError
from ..ledger.storage import check_url
from ..redaction import redact
from ..small_files import left_as_found


def _storage() -> str:
    return os.environ.get("TUNER_STORAGE") or f"sqlite:///{Path.cwd() / 'tuner.db'}"


def _tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def _artifacts() -> Path:
    # unlike Path.resolve, this takes a loop of links, which is refused once it is used
    return Path(os.path.realpath(os.environ.get("TUNER_ARTIFACTS") or "tuner-artifacts"))


@dataclass(frozen=True, kw_only=True)
class Locations:
    """The ledger's database, MLflow, and the folder of trial files, which all machines share."""

    storage: str = field(default_factory=_storage)
    tracking_uri: str = field(default_factory=_tracking_uri)
    artifacts: Path = field(default_factory=_artifacts)

    def check(self) -> None:
        """Raise unless the ledger's URL is valid and the folder can be written to."""
        check_url(self.storage)
        probe = self.artifacts / ".probe"
        try:
            with left_as_found(self.artifacts):
                self.artifacts.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"")
                probe.unlink()
        except OSError as error:
            raise DiskError(
                f"the folder {self.artifacts} cannot be written to ({error.strerror}): "
                "choose another with --artifacts or TUNER_ARTIFACTS"
            ) from None

    def check_nodes(self, nodes: int) -> None:
        """Raise if a SQLite database would have to serve more than one machine."""
        for variable, url in (
            ("TUNER_STORAGE", self.storage),
            ("MLFLOW_TRACKING_URI", self.tracking_uri),
        ):
            if nodes > 1 and url.startswith("sqlite"):
                raise UsageError(
                    f"{variable} is {redact(url)} but the cluster has {nodes} machines: SQLite "
                    f"serves one machine only, so set {variable} to a PostgreSQL or server URL"
                )


def trial_folder(folder: Path, number: int) -> Path:
    """Return where a trial keeps its files within the folder of its search."""
    return folder / f"trial-{number:05d}"


def finalist_folder(folder: Path, rank: int) -> Path:
    """Return where a finalist keeps its files within the folder of its search."""
    return folder / f"finalist-{rank}"


def finalist_pictures(folder: Path, rank: int) -> Path | None:
    """Return the folder of a finalist's plots, None if nothing was drawn."""
    pictures = finalist_folder(folder, rank) / "pictures"
    return pictures if pictures.is_dir() else None
