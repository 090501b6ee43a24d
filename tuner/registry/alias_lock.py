"""A lock on the aliases of a registered model, kept in tags of the model itself."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, final

from mlflow import MlflowClient

from ..errors import PromotionConflictError
from ..processes import has_exited, new_owner, pid_namespace

T = TypeVar("T")
Aliases = Mapping[str, int | None]
Call = Callable[[Callable[[], Any]], Any]

_PREFIX = "tuner.promoting."
_POLL_SECONDS = 0.1
_SILENT_SECONDS = 30.0  # after which an owner on another machine is presumed dead


@final
class AliasLock:
    """The right to change the aliases of one model.

    MLflow cannot test and set a tag in one step, but can write and read one, which suffices for
    the bakery algorithm (A New Solution of Dijkstra's Concurrent Programming Problem, Lamport,
    1974): everyone has a tag of their own, draws a ticket above all others, and enters when no
    lower one is left and nobody is drawing. Whoever has exited is passed over at once.

    The tag also says what its owner is about to set, so that the next one completes a change that
    was cut in half. `call` runs a call to MLflow and turns its errors into TunerError.
    """

    def __init__(self, client: MlflowClient, model: str, *, call: Call) -> None:
        self._client, self._model, self._call = client, model, call
        self._owner = new_owner()
        self._key = _PREFIX + self._owner.rpartition(":")[2]
        self._since = time.time()
        self._ticket = 0
        self._seen: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        try:
            self._write()
            others = self._others().values()
            self._ticket = 1 + max((entry["ticket"] for entry in others), default=0)
            self._write()
            while not self._is_first():
                time.sleep(_POLL_SECONDS)
            self._complete_abandoned()
        except BaseException:
            self._delete(self._key)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._delete(self._key)

    def set(self, aliases: Aliases) -> None:
        """Point aliases to versions, and delete those with None, once all of it is written down.

        Raises PromotionConflictError if others took this process for dead meanwhile.
        """
        if self._key not in self._tags():
            raise PromotionConflictError(
                f"another process took over the promotion of {self._model!r}, because this one "
                "was suspended: promote again"
            )
        self._write(aliases)
        self._apply(aliases)

    def _is_first(self) -> bool:
        mine = (self._ticket, self._key)
        return not any(
            (entry["ticket"], key) < mine
            for key, entry in self._others().items()
            if not self._is_gone(key, entry)
        )

    def _complete_abandoned(self) -> None:
        for key, entry in self._others().items():
            if self._is_gone(key, entry):
                self._apply(entry.get("aliases") or {})
                self._delete(key)

    def _apply(self, aliases: Aliases) -> None:
        for alias, number in aliases.items():
            self._call(partial(self._point, alias, number))

    def _point(self, alias: str, number: int | None) -> None:
        if number is None:
            self._client.delete_registered_model_alias(self._model, alias)
        else:
            self._client.set_registered_model_alias(self._model, alias, str(number))

    def _is_gone(self, key: str, entry: Mapping[str, Any]) -> bool:
        text, now = json.dumps(entry), time.monotonic()
        before, since = self._seen.setdefault(key, (text, now))
        if before != text:
            self._seen[key] = (text, now)
            return False
        return has_exited(entry) or now - since > _SILENT_SECONDS

    def _write(self, aliases: Aliases | None = None) -> None:
        entry = {
            "ticket": self._ticket,
            "owner": self._owner,
            "processes": pid_namespace(),
            "since": self._since,
            "aliases": aliases,
        }
        text = json.dumps(entry)
        self._call(lambda: self._client.set_registered_model_tag(self._model, self._key, text))

    def _delete(self, key: str) -> None:
        self._call(lambda: self._client.delete_registered_model_tag(self._model, key))

    def _others(self) -> dict[str, dict[str, Any]]:
        return {key: entry for key, entry in self._entries().items() if key != self._key}

    def _entries(self) -> dict[str, dict[str, Any]]:
        return {
            key: json.loads(text) for key, text in self._tags().items() if key.startswith(_PREFIX)
        }

    def _tags(self) -> dict[str, str]:
        return dict(self._call(lambda: self._client.get_registered_model(self._model)).tags)


def abandoned(tags: Mapping[str, str]) -> list[str]:
    """Return the owners that exited in the middle of a change, from the tags of a model."""
    entries = [json.loads(text) for key, text in tags.items() if key.startswith(_PREFIX)]
    return [str(entry["owner"]) for entry in entries if has_exited(entry)]
