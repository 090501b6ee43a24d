"""Errors that the user can fix: each has a one-sentence message and an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class TunerError(Exception):
    """Base class; the message gives the value, what is allowed and what to do."""

    exit_code: ClassVar[int] = 1

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the sentence, without the calls that led to it."""
        return [f"{type(self).__name__}: {self}"]


class NoUsableTrialError(TunerError):
    """No trial of the search found clusters."""


class UnclusteredError(TunerError):
    """The data show no clusters, so that the search has registered nothing.

    `result` is the `tuner.orchestration.result.Result` of the search.
    """

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class UsageError(TunerError):
    """A flag, setting or search space is invalid."""

    exit_code = 2


class NameTakenError(UsageError):
    """There is a search with this name already."""


class DataError(TunerError):
    """The data are missing, unreadable, malformed or not those the search started with."""

    exit_code = 3


class ServiceError(TunerError):
    """A database, tracking server or cluster does not respond."""

    exit_code = 4


class SyncError(TunerError):
    """The search is complete in the ledger, but MLflow has not received all of it.

    `result` is the `tuner.orchestration.result.Result` of the search, or None without one.
    """

    exit_code = 5

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class ResourceError(TunerError):
    """The cluster does not offer the resources that a trial needs."""

    exit_code = 6


class PromotionRefusedError(TunerError):
    """The challenger is not shown to be better than the champion."""

    exit_code = 9


class PromotionConflictError(PromotionRefusedError):
    """The champion has changed since the challenger was compared with it."""


class FilesError(TunerError):
    """The files of a search cannot be written or read; the search can be resumed once they can."""


class DiskError(FilesError):
    """A folder or an object store is not writable, or the disk is full."""

    exit_code = 74


class StoreError(FilesError):
    """An object store does not respond."""

    exit_code = 4


class LeaseError(TunerError):
    """Another driver holds the lease of the search."""

    exit_code = 75


class InterruptedSearchError(TunerError):
    """A signal stopped the search, which can be resumed; the exit code is 128 + the signal."""

    def __init__(self, message: str, signum: int, *, search: str) -> None:
        super().__init__(message)
        self.search = search
        self.exit_code = 128 + signum  # type: ignore[misc]  # depends on the signal


def did_you_mean(value: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest match in `allowed`, or an empty string."""
    folded = {name.casefold(): name for name in allowed}
    close = get_close_matches(value.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""
