"""A promotion that a person asks for: by the same rule as a search's own, unless forced."""

from typing import TYPE_CHECKING

from ..errors import PromotionRefusedError, UsageError
from ..evaluation.comparison import compare
from ..ledger.ledger import Ledger
from ..sqlite import database_file
from . import Registry, Version, load

if TYPE_CHECKING:
    from ..data import Dataset

_DATA = "tuner.data_fingerprint"


def open_registry(uri: str, name: str) -> Registry:
    """Return the registry at a server or database; asking for a model creates none."""
    path = database_file(uri)
    if path is not None and not path.is_file():
        raise UsageError(
            f"no registered model {name!r}: there is no {path}; set MLFLOW_TRACKING_URI to where "
            "it is"
        )
    return Registry(uri)


def promote(name: str, number: int, *, tracking_uri: str, storage: str, force: bool) -> str:
    """Make a version champion and return why; PromotionRefusedError where it is not better.

    `storage` is the ledger in which the search of the version is looked up.
    """
    registry = open_registry(tracking_uri, name)
    chosen, champion = registry.version(name, number), registry.champion(name)
    if champion is not None and champion.number == number:
        return "it was before"
    if champion is None:
        registry.promote(name, number, expected=None)
        return "there was none before"
    reason = (
        "forced, without a comparison" if force else _better(chosen, champion, registry, storage)
    )
    registry.promote(name, number, expected=champion.number)
    return reason


def _better(chosen: Version, champion: Version, registry: Registry, storage: str) -> str:
    made, held = chosen.tags.get(_DATA), champion.tags.get(_DATA)
    if made is None or made != held:
        raise PromotionRefusedError(
            f"version {chosen.number} of {chosen.name!r} and its champion, version "
            f"{champion.number}, were made on different data and cannot be compared: say --force "
            "to promote it all the same"
        )
    dataset = _data_of(chosen, storage)
    raw = dataset.scaling.invert(dataset.test)
    theirs, ours = (
        load(version.uri, tracking_uri=registry.uri).predict(raw) for version in (champion, chosen)
    )
    verdict = compare(ours, theirs, dataset.test, fingerprint=dataset.fingerprint)
    figures = (
        f"ahead of version {champion.number} in {verdict.wins:.0%} of the draws, by "
        f"{verdict.mean_difference:+.4f} in the mean"
    )
    if not verdict.promoted:
        raise PromotionRefusedError(
            f"version {chosen.number} of {chosen.name!r} is {figures}; 95 % and +0.005 are asked "
            "for: keep the champion, or say --force"
        )
    return figures


def _data_of(version: Version, storage: str) -> "Dataset":
    """Return the data that a version was made on, found by its search in the ledger."""
    from ..data import load as load_data

    try:
        study = Ledger.load(storage, version.tags.get("tuner.search", "")).record["study"]
    except UsageError as error:
        raise UsageError(
            f"the data of version {version.number} of {version.name!r} are not known here "
            f"({error}), so it cannot be compared: give --storage, or say --force"
        ) from None
    dataset = load_data(study["dataset"], labels=study["labels"])
    if dataset.fingerprint != version.tags.get(_DATA):
        raise PromotionRefusedError(
            f"{study['dataset']} is no longer what version {version.number} of {version.name!r} "
            "was made on: put the data back, or say --force"
        )
    return dataset
