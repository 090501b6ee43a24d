"""Errors a person can act on: one sentence each, and the exit code the command line gives it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class TunerError(Exception):
    """Something that has a remedy; its message says the value, what is allowed and what to do."""

    exit_code: ClassVar[int] = 1


class NoUsableTrialError(TunerError):
    """A search in which no trial found clusters."""


class UsageError(TunerError):
    """A flag, a setting or a search space that cannot be used."""

    exit_code = 2


class DataError(TunerError):
    """Data that is missing, unreadable, malformed, or not the data a search began with."""

    exit_code = 3


class ServiceError(TunerError):
    """A database, tracking server or cluster that does not answer."""

    exit_code = 4


class SyncError(TunerError):
    """The search is done and safe in the ledger, but tracking has not received all of it.

    `result` is the `tuner.study.result.Result` of the search, None where there is none.
    """

    exit_code = 5

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class ResourceError(TunerError):
    """The cluster has not offered what a trial needs."""

    exit_code = 6


class PromotionRefusedError(TunerError):
    """A challenger that has not shown itself better than the champion."""

    exit_code = 9


class DiskError(TunerError):
    """A folder that cannot be written, or a full disk."""

    exit_code = 74


class LeaseError(TunerError):
    """Another driver holds this search."""

    exit_code = 75


class InterruptedSearchError(TunerError):
    """A search that a signal stopped; it can be resumed. The exit code is 128 + the signal."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum  # type: ignore[misc]  # one class for all signals


def did_you_mean(value: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for a close match of `value` in `allowed`, else nothing."""
    close = get_close_matches(value, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
