"""Promote a version on request, by the same rule as a search unless forced."""

from typing import TYPE_CHECKING

from ..errors import PromotionRefusedError, UsageError
from ..evaluation.comparison import compare
from ..ledger.ledger import Ledger
from ..sqlite import database_file
from . import Registry, Version, load

if TYPE_CHECKING:
    from ..data import Dataset

_FINGERPRINT_TAG = "tuner.data_fingerprint"


def open_registry(uri: str, name: str) -> Registry:
    """Return the registry at a server or database, without creating the database."""
    path = database_file(uri)
    if path is not None and not path.is_file():
        raise UsageError(
            f"no registered model {name!r}, because the MLflow database {path} does not exist: "
            "set MLFLOW_TRACKING_URI to the one that holds it"
        )
    return Registry(uri)


def promote(name: str, number: int, *, tracking_uri: str, storage: str, force: bool) -> str:
    """Make a version the champion and return the reason.

    The search that made the version is looked up in the ledger `storage`. Raises
    PromotionRefusedError unless the version is better than the champion or `force` is set.
    """
    registry = open_registry(tracking_uri, name)
    version, champion = registry.version(name, number), registry.champion(name)
    if champion is not None and champion.number == number:
        return "it already was"
    if champion is None:
        registry.promote(name, number, expected=None)
        return "there was no champion before"
    reason = "forced, without a comparison"
    if not force:
        reason = _compare(version, champion, registry, storage)
    registry.promote(name, number, expected=champion.number)
    return reason


def _compare(version: Version, champion: Version, registry: Registry, storage: str) -> str:
    """Return by how much a version is better than the champion, or raise if it is not."""
    fingerprint = version.tags.get(_FINGERPRINT_TAG)
    if fingerprint is None or fingerprint != champion.tags.get(_FINGERPRINT_TAG):
        raise PromotionRefusedError(
            f"version {version.number} of {version.name!r} and its champion, version "
            f"{champion.number}, were trained on different data and cannot be compared: use "
            "--force to promote it anyway"
        )
    dataset = _load_dataset(version, storage)
    raw = dataset.preprocessor.invert(dataset.test)
    champion_labels, labels = (
        load(each.uri, tracking_uri=registry.uri).predict(raw) for each in (champion, version)
    )
    verdict = compare(labels, champion_labels, dataset.test, fingerprint=dataset.fingerprint)
    result = (
        f"ahead of version {champion.number} in {verdict.wins:.0%} of the draws, by "
        f"{verdict.mean_difference:+.4f} on average"
    )
    if not verdict.promoted:
        raise PromotionRefusedError(
            f"version {version.number} of {version.name!r} is {result}, but promotion requires "
            "95 % and +0.005: keep the champion, or use --force"
        )
    return result


def _load_dataset(version: Version, storage: str) -> "Dataset":
    """Return the dataset that a version was trained on, as its search in the ledger names it."""
    from ..data import Preparation
    from ..data import load as load_data

    try:
        with Ledger.load(storage, version.tags.get("tuner.search", "")) as ledger:
            study = ledger.record["study"]
    except UsageError as error:
        raise UsageError(
            f"cannot compare version {version.number} of {version.name!r}, as its dataset is "
            f"unknown ({error}): set --storage to the ledger of its search, or use --force"
        ) from None
    preparation = Preparation.from_mapping(study["preparation"])
    dataset = load_data(study["dataset"], labels=study["labels"], preparation=preparation)
    if dataset.fingerprint != version.tags.get(_FINGERPRINT_TAG):
        raise PromotionRefusedError(
            f"{study['dataset']} has changed since version {version.number} of {version.name!r} "
            "was trained on it: restore the data, or use --force"
        )
    return dataset
