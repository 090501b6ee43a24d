"""The interface through which Ray Tune gets trials and reports what happens to them."""

from abc import ABC, abstractmethod

from ..training.evaluations import Evaluation
from ..training.trial_inputs import TrialSpec


class TrialController(ABC):
    """Decides which trials run and when they stop; independent of what executes them."""

    close_reason: str | None
    """Why no more trials are started; None while the search is open."""

    @property
    @abstractmethod
    def search(self) -> str:
        """Name of the search."""

    @abstractmethod
    def remaining(self) -> int:
        """Return how many trials have not ended yet."""

    @abstractmethod
    def next_trial(self) -> TrialSpec | None:
        """Return the next trial to run, None when there is none to hand out at present."""

    @abstractmethod
    def on_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Record an evaluation of a running trial; return whether the trial should stop here."""

    @abstractmethod
    def on_end(self, number: int, *, pruned: bool) -> None:
        """Record a trial that has ended."""

    @abstractmethod
    def on_trial_lost(self, number: int, detail: str) -> None:
        """Note that a trial's worker died and why; `next_trial` may return the trial again."""

    @abstractmethod
    def requeue(self, detail: str) -> None:
        """Take back the running trials after the executor as a whole has failed."""

    @abstractmethod
    def abort(self, error: Exception) -> None:
        """Close the search because of an error that would affect every other trial."""
