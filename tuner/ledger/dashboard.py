"""The ledger in optuna-dashboard: for reading only, with names and values that people read.

A dashboard on the ledger itself has buttons that delete searches and trials. This one shows a view
of it, in which parameters of a single method have no prefix, the long attributes are split into
short ones, and what earlier versions stored looks the same.
"""

import copy
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..errors import UsageError
from ..study.record import upgraded
from .readable import readable_search, readable_trial
from .storage import RECORD, opened

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy

Application = Callable[..., Iterable[bytes]]
_METRIC_NAMES = "study:metric_names"
_READING = ("GET", "HEAD")
_REFUSAL = "the ledger is shown for reading only: tuner itself changes it"


@final
class ReadableStorage(BaseStorage):
    """A view of a ledger's searches, which refuses every write with PermissionError."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def _refused(self, *_: Any, **__: Any) -> Any:
        raise PermissionError(_REFUSAL)

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refused
    create_new_trial = set_trial_param = set_trial_state_values = _refused
    set_trial_intermediate_value = set_trial_user_attr = set_trial_system_attr = _refused

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a search."""
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a search."""
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return that values are maximised."""
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what a search is and what it has found, in short sentences."""
        return readable_search(self._storage.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the name of the value, and the note."""
        attributes = self._storage.get_study_system_attrs(study_id)
        return {_METRIC_NAMES: [self._record(study_id)["study"]["objective"]], **attributes}

    def get_all_studies(self) -> "list[FrozenStudy]":
        """Return the searches; a study without a record is none, and damaged ones are left out."""
        shown = []
        for study in self._storage.get_all_studies():
            if RECORD in study.user_attrs:
                with suppress(UsageError):
                    shown.append(self._readable(study))
        return shown

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial, with the names of its parameters as they are stored."""
        return self._storage.get_trial(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return all trials."""
        record = self._record(study_id)
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [readable_trial(copy.copy(trial), record) for trial in trials]

    def _record(self, study_id: int) -> Mapping[str, Any]:
        return upgraded(self._storage.get_study_user_attrs(study_id)[RECORD])

    def _readable(self, study: "FrozenStudy") -> "FrozenStudy":
        shown = copy.copy(study)
        shown.user_attrs = readable_search(study.user_attrs)
        shown.system_attrs = self.get_study_system_attrs(study._study_id)
        return shown


@contextmanager
def application(url: str) -> Iterator[Application]:
    """Open a ledger and yield the dashboard as a WSGI application that changes nothing.

    Raises UsageError where optuna-dashboard is not installed.
    """
    try:
        from optuna_dashboard import wsgi
    except ModuleNotFoundError:
        raise UsageError(
            "--dashboard optuna needs the package optuna-dashboard, which is not installed: "
            "pip install optuna-dashboard"
        ) from None
    with opened(url) as storage:
        yield _read_only(wsgi(ReadableStorage(storage)))


def serve(shown: Application, port: int) -> None:
    """Serve an application on this machine alone, until interrupted."""
    with (
        make_server("127.0.0.1", port, shown, _Server, _Handler) as server,
        suppress(KeyboardInterrupt),
    ):
        server.serve_forever()


def _read_only(application: Application) -> Application:
    """Return an application that refuses all requests but those that read."""

    def gate(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READING:
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": _REFUSAL}).encode()]

    return gate


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
        """Say nothing of single requests."""
