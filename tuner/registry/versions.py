"""The versions of registered models and their aliases champion, challenger and previous."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, final

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ..environment import quiet_logger
from ..errors import PromotionConflictError, UsageError, did_you_mean
from ..methods.config import Scalar
from ..tracking import connect
from ..tracking.availability import long_timeouts, tracking_error
from ..tracking.run_data import folder_digest, prefixed
from ..training.saved_model import Model
from .alias_lock import AliasLock, abandoned
from .bundle import upload
from .lineage import link

T = TypeVar("T")
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST_TAG = "tuner.digest"
_LOCK_SUFFIX = ".promotion"  # of the empty models by which earlier versions locked aliases


@final
@dataclass(frozen=True)
class Version:
    """A model version; `tags` are as MLflow stores them."""

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    description: str
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """URI of the version, for `load` and for MLflow."""
        return f"models:/{self.name}/{self.number}"


@final
class Registry:
    """The registered models of a tracking server or database."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = connect(uri)

    def names(self) -> list[str]:
        """Return the names of the registered models."""
        found = self._call(lambda: self._client.search_registered_models(max_results=1000))
        return sorted(model.name for model in found if not model.name.endswith(_LOCK_SUFFIX))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, newest first."""
        aliases = self._aliases(name)
        found = self._call(
            lambda: self._client.search_model_versions(f"name='{name}'", max_results=1000)
        )
        versions = [_version(entry, aliases) for entry in found]
        return sorted(versions, key=lambda version: -version.number)

    def version(self, name: str, number: int) -> Version:
        """Return one version of a model."""
        for version in (versions := self.versions(name)):
            if version.number == number:
                return version
        known = ", ".join(str(version.number) for version in versions) or "none"
        raise UsageError(f"no version {number} of {name!r}; existing versions: {known}")

    def holds(self, name: str, number: int, *, search: str) -> bool:
        """Return whether a version of a model exists and came from a search."""
        if name not in self.names():
            return False
        found = [version for version in self.versions(name) if version.number == number]
        return any(version.tags.get("tuner.search") == search for version in found)

    def version_by_alias(self, name: str, alias: str) -> Version:
        """Return the version that an alias refers to."""
        aliases = self._aliases(name)
        if alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none"
            raise UsageError(
                f"no alias {alias!r} of {name!r}{did_you_mean(alias, aliases)}; "
                f"existing aliases: {known}"
            )
        return self.version(name, aliases[alias])

    def champion(self, name: str) -> Version | None:
        """Return the champion of a model, or None if it has none."""
        if name not in self.names() or CHAMPION not in self._aliases(name):
            return None
        return self.version_by_alias(name, CHAMPION)

    def register(
        self,
        model: Model,
        *,
        name: str,
        run_id: str,
        tags: Mapping[str, Scalar],
        metrics: Mapping[str, float],
        data: tuple[str, str],
        description: str,
        example: Any,
    ) -> Version:
        """Log a model to a run and register it, or return its version if it is already registered.

        `metrics` are those of the model on `data`, which has a name and a fingerprint. `example`
        is a few raw points, `description` the model card. Two models are the same if
        their files and their searches are.
        """
        if _NAME.fullmatch(name) is None or name.endswith(_LOCK_SUFFIX):
            raise UsageError(
                f"{name!r} is not a valid model name: use 1 to 64 letters, digits, '.', '_' and "
                f"'-', starting with a letter or digit and not ending in {_LOCK_SUFFIX!r}"
            )
        with TemporaryDirectory() as scratch:
            work = Path(scratch)
            model.save(work / "model")
            own = prefixed(tags) | {_DIGEST_TAG: folder_digest(work / "model")}
            if (existing := self._find_registered(name, own)) is not None:
                return existing
            with long_timeouts():
                model_id, source = self._call(
                    lambda: upload(self._client, self.uri, model, work, name, run_id, example)
                )
        self._call(lambda: self._create_registered_model(name))
        with quiet_logger("mlflow.store.model_registry.abstract_store"):  # says that it waits
            created = self._call(
                lambda: self._client.create_model_version(
                    name,
                    source,
                    run_id=run_id,
                    tags=own,
                    description=description,
                    model_id=model_id,
                )
            )
        self._call(
            lambda: link(
                self._client, model_id, (name, created.version), run_id, metrics=metrics, data=data
            )
        )
        return self.version(name, int(created.version))

    def set_challenger(self, name: str, number: int) -> None:
        """Make a version the challenger."""
        self.version(name, number)
        self._call(lambda: self._client.set_registered_model_alias(name, CHALLENGER, str(number)))

    def promote(self, name: str, number: int, *, expected: int | None) -> None:
        """Make a version the champion.

        Raises PromotionConflictError unless version `expected` is the champion, None for none.
        """
        chosen = self.version(name, number)
        with self._lock(name) as lock:
            champion = self.champion(name)
            current = None if champion is None else champion.number
            if current != expected:
                raise PromotionConflictError(
                    f"version {number} of {name!r} was compared with {_described(expected)}, but "
                    f"the champion is now {_described(current)}: compare again"
                )
            if current == number:
                return
            changes: dict[str, int | None] = {} if current is None else {PREVIOUS: current}
            changes[CHAMPION] = number
            if CHALLENGER in chosen.aliases:
                changes[CHALLENGER] = None
            lock.set(changes)

    def rollback(self, name: str) -> Version:
        """Swap the champion with the previous one; return the new champion."""
        self._aliases(name)  # refuse an unknown name before anything is written
        with self._lock(name) as lock:
            aliases = self._aliases(name)
            if PREVIOUS not in aliases or aliases[PREVIOUS] == aliases.get(CHAMPION):
                raise UsageError(
                    f"{name!r} has no previous champion: there is nothing to roll back"
                )
            lock.set({PREVIOUS: aliases.get(CHAMPION), CHAMPION: aliases[PREVIOUS]})
        return self.version_by_alias(name, CHAMPION)

    def unfinished(self, name: str) -> list[str]:
        """Return the processes that were killed while they changed the aliases of a model."""
        model = self._call(lambda: self._client.get_registered_model(name))
        return abandoned(dict(model.tags))

    def complete(self, name: str) -> None:
        """Complete what such processes had begun."""
        if self.unfinished(name):
            with self._lock(name):
                pass

    def location(self, version: Version) -> str:
        """Return the URI of a version's artifacts."""
        return str(
            self._call(
                lambda: self._client.get_model_version_download_uri(
                    version.name, str(version.number)
                )
            )
        )

    def _aliases(self, name: str) -> dict[str, int]:
        """Return the version number of each alias of a model, or raise if no such model exists."""
        names = self.names()
        if name not in names:
            known = ", ".join(names) or "none"
            raise UsageError(
                f"no registered model {name!r}{did_you_mean(name, names)}; "
                f"existing models: {known}"
            )
        model = self._call(lambda: self._client.get_registered_model(name))
        return {alias: int(number) for alias, number in model.aliases.items()}

    def _find_registered(self, name: str, tags: Mapping[str, str]) -> Version | None:
        if name not in self.names():
            return None
        identity = ("tuner.search", _DIGEST_TAG)
        for version in self.versions(name):
            if all(version.tags.get(key) == tags.get(key) for key in identity):
                return version
        return None

    def _create_registered_model(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _lock(self, name: str) -> AliasLock:
        return AliasLock(self._client, name, call=self._call)

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except MlflowException as error:
            raise tracking_error(self.uri, error) from None


def _version(entry: ModelVersion, aliases: Mapping[str, int]) -> Version:
    number = int(entry.version)
    return Version(
        name=str(entry.name),
        number=number,
        run_id=str(entry.run_id or ""),
        tags=dict(entry.tags),
        description=str(entry.description or ""),
        aliases=tuple(sorted(alias for alias, at in aliases.items() if at == number)),
    )


def _described(number: int | None) -> str:
    return "no champion" if number is None else f"version {number}"
