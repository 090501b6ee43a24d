"""Load a model from the registry, from a run or from a folder."""

import os
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
from ..training.places import Place, is_store, local_copy, place
from ..training.saved_model import DOCUMENT, Model
from .bundle import fetch
from .versions import CHAMPION, Registry

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>[0-9]+)|@(?P<alias>[^/@]+))?")
_RUN = re.compile(r"runs:/[^/]+/.+")
_FORMS = "models:/NAME@champion, models:/NAME/3, runs:/RUN_ID/PATH, or the folder of a saved model"


def load(
    uri: str | Path, *, tracking_uri: str | None = None, device: torch.device | str = "cpu"
) -> Model:
    """Return a model, with its checksums verified, using the installed code.

    Parameters
    ----------
    uri
        models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME (its champion), runs:/RUN_ID/PATH,
        or a folder on a disk or in an object store.
    tracking_uri
        Where MLflow is, by default its own setting (MLFLOW_TRACKING_URI).
    device
        Where the model computes, such as cuda.

    Returns
    -------
    Model
        A clusterer that takes raw data.

    Raises
    ------
    UsageError
        If there is no such model.
    CheckpointError
        If its files are damaged, or made by a newer version.
    ServiceError
        If MLflow does not respond.

    Examples
    --------
    >>> import tuner
    >>> clusterer = tuner.load("models:/data@champion")
    >>> clusterer.n_components
    3
    """
    text = str(uri)
    if text.startswith(("models:", "runs:")):
        with TemporaryDirectory() as scratch:
            folder = _download(text, Path(scratch), tracking_uri)
            return Model.load(_model_folder(folder, text), device=device)
    if is_store(text):
        return Model.load(_model_folder(local_copy(_store_folder(text)), text), device=device)
    parts = urlsplit(text)
    if len(parts.scheme) > 1 and parts.scheme != "file":  # a single letter is a Windows drive
        raise UsageError(f"cannot load {redact(text)!r}: give {_FORMS}")
    folder = Path(unquote(parts.path)) if parts.scheme == "file" else Path(text)
    if not os.path.isdir(folder):  # unlike the method of Path, it takes names that are too long
        raise UsageError(f"{text!r} is not a folder: give {_FORMS}")
    return Model.load(_model_folder(folder, text), device=device)


def _store_folder(text: str) -> Place:
    """Return the place at a URL of an object store, or raise UsageError."""
    try:
        return place(text)
    except UsageError as error:  # its words are for --artifacts
        remedy = str(error).partition(": ")[2]
        raise UsageError(f"cannot load {redact(text)!r}: {remedy}") from None


def _download(text: str, scratch: Path, tracking_uri: str | None) -> Path:
    uri = str(mlflow.get_tracking_uri()) if tracking_uri is None else tracking_uri
    path = database_file(uri)
    if path is not None and not path.is_file():  # connecting would create it
        raise UsageError(
            f"the MLflow database {path} does not exist: set MLFLOW_TRACKING_URI to the one that "
            f"holds {text!r}"
        )
    if text.startswith("runs:"):
        if _RUN.fullmatch(text) is None:
            raise UsageError(f"cannot load {text!r}: give {_FORMS}")
        connect(uri)
        location = text
    else:
        location = _registered_location(text, uri)
    try:
        return fetch(location, scratch, uri=uri)
    except Exception as error:  # artifact stores raise errors of many types
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise UsageError(f"nothing found at {text!r}: {redact(str(error))}") from None
        raise tracking_error(uri, error) from error


def _registered_location(text: str, tracking_uri: str) -> str:
    match = _REGISTERED.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot load {text!r}: give {_FORMS}")
    registry, name = Registry(tracking_uri), match["name"]
    if match["number"] is not None:
        version = registry.version(name, int(match["number"]))
    else:
        alias = CHAMPION if match["alias"] is None else match["alias"]
        version = registry.version_by_alias(name, alias)
    return registry.location(version)


def _model_folder(folder: Path, text: str) -> Path:
    """Return the folder that holds the model: `folder` or one below it."""
    documents = sorted(folder.rglob(DOCUMENT), key=lambda path: len(path.parts))
    if not documents:
        raise CheckpointError(f"{text!r} contains no {DOCUMENT}: give the folder of a saved model")
    return documents[0].parent
