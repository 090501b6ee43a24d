"""Where a search stores its data: set by flags, else by variables, else the current folder."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import FilesError, UsageError
from ..ledger.storage import check_url
from ..redaction import redact
from ..training.attempts import is_attempt
from ..training.places import Place, local_copy, place, probe, scratch, upload


def _storage() -> str:
    return os.environ.get("TUNER_STORAGE") or f"sqlite:///{Path.cwd() / 'tuner.db'}"


def _tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def _artifacts() -> Place:
    found = place(os.environ.get("TUNER_ARTIFACTS") or "tuner-artifacts")
    # unlike Path.resolve, this takes a loop of links, which is refused once it is used
    return Path(os.path.realpath(found)) if isinstance(found, Path) else found


def artifacts_at(text: str, *, flag: str = "--artifacts") -> Place:
    """Return the absolute place of the files of searches, or raise UsageError."""
    if text.isprintable() and text.strip():
        found = place(text, flag=flag)
        with suppress(RuntimeError):  # a loop of links, or the home of an unknown user
            return found.expanduser().resolve() if isinstance(found, Path) else found
    raise UsageError(f"{flag} {text!r} is not a folder: choose one that all machines can access")


@dataclass(frozen=True, kw_only=True)
class Locations:
    """The ledger's database, MLflow, and the place of trial files, which all machines share."""

    storage: str = field(default_factory=_storage)
    tracking_uri: str = field(default_factory=_tracking_uri)
    artifacts: Place = field(default_factory=_artifacts)

    def check(self) -> None:
        """Raise unless the ledger's URL is valid and files can be written, read and deleted."""
        check_url(self.storage)
        probe(self.artifacts)

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


def trial_folder(folder: Place, number: int) -> Place:
    """Return where a trial keeps its files within the folder of its search."""
    return folder / f"trial-{number:05d}"


def finalist_folder(folder: Place, rank: int) -> Place:
    """Return where a finalist keeps its files within the folder of its search."""
    return folder / f"finalist-{rank}"


def finalist_models(folder: Place, rank: int, recorded: str) -> Place:
    """Return the folder of a finalist's models; `recorded` is the one that the ledger names.

    The folder of the search may have been moved since.
    """
    name = recorded.rstrip("/").rpartition("/")[2]
    own = finalist_folder(folder, rank)
    return own / name if is_attempt(name) else own


def finalist_pictures(folder: Place, rank: int) -> Path | None:
    """Return a folder of this machine with a finalist's plots, None if nothing was drawn."""
    pictures = finalist_folder(folder, rank) / "pictures"
    return local_copy(pictures) if pictures.is_dir() else None


def draw_pictures(folder: Place, draw: Callable[[Path], list[str]]) -> list[str]:
    """Draw into a folder, through one of this machine where it is in a store; return faults."""
    own = folder if isinstance(folder, Path) else scratch()
    faults = draw(own)
    try:
        upload(own, folder)
    except FilesError as error:  # training matters more than its pictures
        faults.append(f"the pictures were not stored: {error}")
    return faults


def store_data(save: Callable[[Path], tuple[Path, Any]], folder: Place) -> tuple[str, Any]:
    """Store data that were given in memory; `save` writes them below a folder of this machine."""
    if isinstance(folder, Path):
        path, labels = save(folder)
        return str(path), labels
    with TemporaryDirectory(prefix="tuner-") as own:
        path, labels = save(Path(own))
        stored = folder / path.parent.name / path.name
        stored.write_bytes(path.read_bytes())
    return str(stored), labels
