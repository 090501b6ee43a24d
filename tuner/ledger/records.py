"""A trial to run, and the record of a trial in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from optuna.trial import FrozenTrial

from .proposals import METHOD

if TYPE_CHECKING:
    from ..methods.config import Scalar

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]


class Cut(NamedTuple):
    """The end of a search with fewer trials than were asked for."""

    asked: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A trial to run: its number, its parameters, and the number of earlier attempts."""

    number: int
    method: str
    params: Mapping[str, "Scalar"]
    attempt: int


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial in the ledger; `outcome` is what it reported when it ended.

    `value` is None unless the trial is complete; `intermediate_values` are by epoch, `started` and
    `ended` in seconds since 1970.
    """

    number: int
    state: State
    method: str
    params: Mapping[str, "Scalar"]
    value: float | None
    attempt: int
    outcome: Mapping[str, Any] = field(default_factory=dict)
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None

    @property
    def reason(self) -> str | None:
        """Why it ended without a usable result, None if it has one or has not ended."""
        reason: str | None = self.outcome.get("reason")
        return reason


def trial_record(trial: FrozenTrial, *, only_method: str) -> TrialRecord:
    """Return an Optuna trial as a record.

    `only_method` is the method of a search of one method, whose name is not among the parameters.
    """
    params = dict(trial.params)
    state = trial.state.name
    return TrialRecord(
        number=trial.number,
        state=cast(State, "RUNNING" if state == "WAITING" else state),
        method=str(params.pop(METHOD, only_method)),
        params={key.split(".", 1)[1]: value for key, value in params.items()},
        value=trial.value if state == "COMPLETE" else None,
        attempt=int(trial.user_attrs.get("attempt", 0)),
        outcome=trial.user_attrs.get("outcome", {}),
        intermediate_values=trial.intermediate_values,
        started=trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )
