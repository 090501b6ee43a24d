"""The versions of registered models, and the aliases that say which one counts."""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, final

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import ArrayLike

from ..errors import PromotionRefusedError, UsageError, did_you_mean
from ..methods.config import Scalar
from ..tracking import connect
from ..tracking.availability import tracking_error
from ..tracking.records import digest, own_names
from ..training.saved_model import Model
from .bundle import store

T = TypeVar("T")
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = "tuner.digest"
_LOCK = ".promotion"  # ends the name of the empty model that stands while aliases change
_BUSY = ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST")  # the latter: just released
_PATIENCE = 30.0  # seconds after which a promotion that does not end is taken for dead


@final
@dataclass(frozen=True)
class Version:
    """One registered version; `tags` are as MLflow stores them, `created` is in milliseconds."""

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    description: str
    aliases: tuple[str, ...]
    created: int

    @property
    def uri(self) -> str:
        """Where `load` and MLflow find it."""
        return f"models:/{self.name}/{self.number}"


@final
class Registry:
    """The registered models at one tracking server or database."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = connect(uri)

    def names(self) -> list[str]:
        """Return the names of the registered models."""
        found = self._ask(lambda: self._client.search_registered_models(max_results=1000))
        return sorted(model.name for model in found if not model.name.endswith(_LOCK))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, newest first."""
        aliases = self._aliases(name)
        found = self._ask(
            lambda: self._client.search_model_versions(f"name='{name}'", max_results=1000)
        )
        versions = [_version(entry, aliases) for entry in found]
        return sorted(versions, key=lambda version: -version.number)

    def version(self, name: str, number: int) -> Version:
        """Return one version of a model."""
        for version in (versions := self.versions(name)):
            if version.number == number:
                return version
        known = ", ".join(str(version.number) for version in versions) or "none yet"
        raise UsageError(f"no version {number} of {name!r}: its versions are {known}")

    def aliased(self, name: str, alias: str) -> Version:
        """Return the version that an alias points at."""
        aliases = self._aliases(name)
        if alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none yet"
            raise UsageError(
                f"no alias {alias!r} of {name!r}{did_you_mean(alias, aliases)}; "
                f"its aliases are {known}"
            )
        return self.version(name, aliases[alias])

    def champion(self, name: str) -> Version | None:
        """Return the champion of a model, None before the first one."""
        if name not in self.names() or CHAMPION not in self._aliases(name):
            return None
        return self.aliased(name, CHAMPION)

    def register(
        self,
        model: Model,
        *,
        name: str,
        run_id: str,
        tags: Mapping[str, Scalar],
        description: str,
        example: ArrayLike,
    ) -> Version:
        """Store a model with its run and register it; the same model of a search only once.

        `example` is a few raw points, `description` the model card.
        """
        if _NAME.fullmatch(name) is None or name.endswith(_LOCK):
            raise UsageError(
                f"{name!r} cannot name a model: use 1 to 64 letters, digits, '.', '_' and '-', "
                "the first of them a letter or digit"
            )
        with TemporaryDirectory() as scratch:
            work = Path(scratch)
            model.save(work / "model")
            own = own_names(tags) | {_DIGEST: digest(work / "model")}
            if (known := self._registered(name, own)) is not None:
                return known
            model_id, source = self._ask(
                lambda: store(self._client, self.uri, model, work, name, run_id, example)
            )
        self._ask(lambda: self._create(name))
        made = self._ask(
            lambda: self._client.create_model_version(
                name,
                source,
                run_id=run_id,
                tags=own,
                description=description,
                model_id=model_id,
            )
        )
        return self.version(name, int(made.version))

    def set_challenger(self, name: str, number: int) -> None:
        """Call a version the challenger."""
        self.version(name, number)
        self._set(name, CHALLENGER, number)

    def promote(self, name: str, number: int, *, expected: int | None) -> None:
        """Make a version champion unless the champion is no longer the `expected` version."""
        chosen = self.version(name, number)
        with self._alone(name):
            champion = self.champion(name)
            found = None if champion is None else champion.number
            if found != expected:
                raise PromotionRefusedError(
                    f"version {number} of {name!r} was compared with {_called(expected)}, but "
                    f"the champion is now {_called(found)}: compare again"
                )
            if found == number:
                return
            if found is not None:
                self._set(name, PREVIOUS, found)
            self._set(name, CHAMPION, number)
            if CHALLENGER in chosen.aliases:
                self._ask(lambda: self._client.delete_registered_model_alias(name, CHALLENGER))

    def rollback(self, name: str) -> Version:
        """Make the champion before champion again, and the present one `previous`; return it."""
        with self._alone(name):
            aliases = self._aliases(name)
            if PREVIOUS not in aliases or aliases[PREVIOUS] == aliases.get(CHAMPION):
                raise UsageError(f"{name!r} has no champion before this one: nothing to roll back")
            if CHAMPION in aliases:
                self._set(name, PREVIOUS, aliases[CHAMPION])
            self._set(name, CHAMPION, aliases[PREVIOUS])
        return self.aliased(name, CHAMPION)

    def location(self, version: Version) -> str:
        """Return where the files of a version are."""
        return str(
            self._ask(
                lambda: self._client.get_model_version_download_uri(
                    version.name, str(version.number)
                )
            )
        )

    def _aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a model, or raise with the nearest name there is."""
        names = self.names()
        if name not in names:
            known = ", ".join(names) or "none yet"
            raise UsageError(
                f"no registered model {name!r}{did_you_mean(name, names)}; there are: {known}"
            )
        model = self._ask(lambda: self._client.get_registered_model(name))
        return {alias: int(number) for alias, number in model.aliases.items()}

    def _registered(self, name: str, tags: Mapping[str, str]) -> Version | None:
        if name not in self.names():
            return None
        same = ("tuner.search", _DIGEST)
        for version in self.versions(name):
            if all(version.tags.get(key) == tags.get(key) for key in same):
                return version
        return None

    def _create(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _set(self, name: str, alias: str, number: int) -> None:
        self._ask(lambda: self._client.set_registered_model_alias(name, alias, str(number)))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the right to change aliases: setting one overwrites, creating a name does not."""
        lock, token = name + _LOCK, uuid.uuid4().hex
        holder, since = "", time.monotonic()
        while not self._take(lock, token):
            seen = self._holder(lock)
            if seen != holder:
                holder, since = seen, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                self._release(lock, seen)
            time.sleep(0.1)
        try:
            yield
        finally:
            self._release(lock, token)

    def _take(self, lock: str, token: str) -> bool:
        try:
            self._client.create_registered_model(lock, tags={"tuner.token": token})
        except MlflowException as error:
            if error.error_code not in _BUSY:
                raise tracking_error(self.uri, error) from None
            return self._holder(lock) == token  # it may be ours, and the answer was lost
        return True

    def _holder(self, lock: str) -> str:
        try:
            return str(self._client.get_registered_model(lock).tags.get("tuner.token", "?"))
        except MlflowException:
            return ""

    def _release(self, lock: str, token: str) -> None:
        if self._holder(lock) == token:
            self._ask(lambda: self._client.delete_registered_model(lock))

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
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
        created=int(entry.creation_timestamp),
    )


def _called(number: int | None) -> str:
    return "no champion" if number is None else f"version {number}"
