"""A model from wherever it is: the registry, a run, a folder."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import mlflow
import torch

from ..errors import UsageError
from ..redaction import redact
from ..sqlite import database_file
from ..tracking import connect
from ..tracking.availability import tracking_error
from ..training.checkpoint import CheckpointError
from ..training.saved_model import DOCUMENT, Model
from .bundle import fetch
from .versions import CHAMPION, Registry

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>\d+)|@(?P<alias>[^/@]+))?")
_FORMS = "models:/NAME@champion, models:/NAME/3, runs:/RUN_ID/PATH, or the folder of a saved model"


def load(
    uri: str | Path, *, tracking_uri: str | None = None, device: torch.device | str = "cpu"
) -> Model:
    """Return the model at `uri`, verified, and built by the installed code.

    `uri` is models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME (its champion),
    runs:/RUN_ID/PATH, or a folder. `tracking_uri` is MLflow's own setting unless given.
    """
    text = str(uri)
    if text.startswith(("models:", "runs:")):
        with TemporaryDirectory() as scratch:
            folder = _fetched(text, Path(scratch), tracking_uri)
            return Model.load(_inside(folder, text), device=device)
    parts = urlsplit(text)
    if len(parts.scheme) > 1 and parts.scheme != "file":  # one letter is a drive
        raise UsageError(f"cannot load {redact(text)!r}: give {_FORMS}")
    folder = Path(unquote(parts.path)) if parts.scheme == "file" else Path(text)
    if not folder.is_dir():
        raise UsageError(f"no folder {text!r}: give {_FORMS}")
    return Model.load(_inside(folder, text), device=device)


def _fetched(text: str, scratch: Path, tracking_uri: str | None) -> Path:
    store = str(mlflow.get_tracking_uri()) if tracking_uri is None else tracking_uri
    path = database_file(store)
    if path is not None and not path.is_file():  # connecting would create it
        raise UsageError(f"there is no {path}: set MLFLOW_TRACKING_URI to where {text!r} is")
    if text.startswith("runs:"):
        connect(store)
        location = text
    else:
        location = _registered(text, store)
    try:
        return fetch(location, scratch, uri=store)
    except Exception as error:  # stores for files raise errors of many kinds
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise UsageError(f"there is nothing at {text!r}: {redact(str(error))}") from None
        raise tracking_error(store, error) from error


def _registered(text: str, store: str) -> str:
    match = _REGISTERED.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot load {text!r}: give {_FORMS}")
    registry, name = Registry(store), match["name"]
    if match["number"] is not None:
        version = registry.version(name, int(match["number"]))
    else:
        alias = CHAMPION if match["alias"] is None else match["alias"]
        version = registry.aliased(name, alias)
    return registry.location(version)


def _inside(folder: Path, text: str) -> Path:
    """Return the folder of the model itself: this one, or one below it."""
    found = sorted(folder.rglob(DOCUMENT), key=lambda path: len(path.parts))
    if not found:
        raise CheckpointError(f"{text!r} holds no {DOCUMENT}: it is no model of this package")
    return found[0].parent
