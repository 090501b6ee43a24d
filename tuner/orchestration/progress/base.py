"""The interface of what shows the progress of a search or a training."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..snapshot import SearchSnapshot, TrialRow
    from .events import Event


class View(AbstractContextManager["View"]):
    """Context manager that shows what happens in its block.

    Cheap enough to be told of every evaluation of every trial, from any thread.
    """

    @abstractmethod
    def update(self, snapshot: "SearchSnapshot") -> None:
        """Accept a new snapshot of the trials."""

    @abstractmethod
    def show(self, event: "Event") -> None:
        """Accept an event."""

    @abstractmethod
    def ended(self, row: "TrialRow") -> None:
        """Accept a trial that has ended."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Show a message permanently."""
