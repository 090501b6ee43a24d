"""The files of one attempt at a trial, as the process that trains it reads and writes them."""

from collections.abc import Iterable, Mapping
from typing import Any, final

from torch import Tensor

from ..errors import TunerError
from . import checkpoint
from .attempts import CHECKPOINTS, attempts, is_attempt, names_in, new_attempt, order
from .evaluations import Evaluation, EvaluationLog, parsed, recorded_in
from .places import Place, delete_folder, impatient

_EVALUATIONS = "evaluations"  # in the document of a checkpoint


class SupersededError(TunerError):
    """A newer attempt at the same trial has begun, so this one must not go on."""

    exit_code = 75


@final
class AttemptFiles:
    """The files of one attempt; `folder` is that of the attempt, `trial_folder` that of its trial.

    Raises SupersededError where there is an attempt that the ledger counted later.
    """

    def __init__(self, trial_folder: Place, attempt: int) -> None:
        self.trial_folder = trial_folder
        self._earlier = attempts(trial_folder)
        names = [path.name for path in self._earlier]
        self.folder = trial_folder / new_attempt(attempt, names)
        self._log: EvaluationLog | None = None
        self._check_newest(names)

    def latest_checkpoint(self) -> tuple[checkpoint.Checkpoint | None, str, list[Evaluation]]:
        """Return the newest valid checkpoint, a note on damaged ones, and what came before it.

        Those are the evaluations in the checkpoint, since a line of their own file may be torn. An
        earlier version wrote none there: then those that its attempt recorded.
        """
        notes: list[str] = []
        for attempt in [self.folder] * (self._log is not None) + self._earlier:
            found, note = checkpoint.latest_valid(attempt / CHECKPOINTS)
            notes += [note] * bool(note)
            if found is not None:
                text = found[1].get(_EVALUATIONS)
                evaluations = recorded_in(attempt) if text is None else parsed(text)
                return found, " ".join(notes), evaluations or []
        return None, " ".join(notes), []

    def begin(self, evaluations: Iterable[Evaluation]) -> None:
        """Record the evaluations with which this attempt starts, in place of its own."""
        self._log = EvaluationLog(self.folder, evaluations)

    def append(self, evaluation: Evaluation) -> None:
        """Record an evaluation, or raise SupersededError if a newer attempt has begun."""
        if self._log is None:
            self.begin([])
        self._check_newest(names_in(self.trial_folder))
        assert self._log is not None
        self._log.append(evaluation)

    def save(
        self,
        step: int,
        tensors: Mapping[str, Tensor],
        document: Mapping[str, Any],
        *,
        patience: float | None = None,
    ) -> None:
        """Write a checkpoint; delete those of earlier attempts once this one has two.

        `patience` is how many seconds to wait for an object store, by default a minute.
        """
        own = self.folder if patience is None else impatient(self.folder, patience)
        folder = own / CHECKPOINTS
        lines = {} if self._log is None else {_EVALUATIONS: self._log.text}
        checkpoint.save_checkpoint(folder, step, tensors, {**document, **lines})
        if self._earlier and len(checkpoint.saved_checkpoints(folder)) > 1:
            for attempt in self._earlier:
                delete_folder(attempt / CHECKPOINTS)
            self._earlier = []

    def _check_newest(self, names: Iterable[str]) -> None:
        newest = max(filter(is_attempt, names), key=order, default=self.folder.name)
        if order(newest) > order(self.folder.name):
            raise SupersededError(
                f"a newer attempt has begun to write to {self.trial_folder} ({newest}), so this "
                "one stops: let the newer one finish, or use another folder"
            )
