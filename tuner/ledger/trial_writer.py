"""Rows of trials in Optuna's tables, several in one transaction.

Optuna's own storage reads a trial back before it writes each single value of it, which costs more
than all else that a search does around a short trial. The tables are taken as the database
describes them; whatever is read, Optuna reads.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, final

from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, MetaData, Table, delete, insert, update

_TABLES = (
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
)


@final
class TrialWriter:
    """Writes trials of one study; every call is one transaction, and may be repeated."""

    def __init__(self, engine: Engine, study_id: int) -> None:
        described = MetaData()
        described.reflect(engine, only=_TABLES)
        self._engine, self._study_id = engine, study_id
        self._tables = described.tables

    def create(self, trial: FrozenTrial) -> int:
        """Write a new running trial with its parameters; return its id in the database."""
        trials = self._tables["trials"]
        row = {
            "number": trial.number,
            "study_id": self._study_id,
            "state": TrialState.RUNNING.name,
            "datetime_start": trial.datetime_start,
        }
        with self._engine.begin() as connection:
            key = connection.execute(insert(trials).values(row)).inserted_primary_key
            assert key is not None
            trial_id = int(key[0])
            params = [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": trial.distributions[name].to_internal_repr(value),
                    "distribution_json": distribution_to_json(trial.distributions[name]),
                }
                for name, value in trial.params.items()
            ]
            if params:
                connection.execute(insert(self._tables["trial_params"]), params)
            for kind in ("user", "system"):
                self._attributes(connection, kind, trial_id, getattr(trial, f"{kind}_attrs"))
        return trial_id

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Write a finite intermediate value."""
        table = self._tables["trial_intermediate_values"]
        row = {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": value,
            "intermediate_value_type": "FINITE",
        }
        with self._engine.begin() as connection:
            self._put(connection, table, row, ("trial_id", "step"))

    def attribute(self, kind: str, trial_id: int, key: str, value: Any) -> None:
        """Write a `user` or `system` attribute."""
        with self._engine.begin() as connection:
            self._attributes(connection, kind, trial_id, {key: value})

    def end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Give a running trial its terminal state, finite values and user attributes."""
        trials = self._tables["trials"]
        ended = {"state": state.name, "datetime_complete": datetime.now()}
        running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING.name)
        with self._engine.begin() as connection:
            if connection.execute(update(trials).where(running).values(ended)).rowcount == 0:
                raise UpdateFinishedTrialError(f"trial {trial_id} has ended before")
            self._attributes(connection, "user", trial_id, attributes)
            for objective, value in enumerate(values):
                row = {
                    "trial_id": trial_id,
                    "objective": objective,
                    "value": value,
                    "value_type": "FINITE",
                }
                self._put(connection, self._tables["trial_values"], row, ("trial_id", "objective"))

    def _attributes(
        self, connection: Connection, kind: str, trial_id: int, values: Mapping[str, Any]
    ) -> None:
        table = self._tables[f"trial_{kind}_attributes"]
        for key, value in values.items():
            row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            self._put(connection, table, row, ("trial_id", "key"))

    def _put(
        self, connection: Connection, table: Table, row: Mapping[str, Any], key: Sequence[str]
    ) -> None:
        """Write a row in place of one with the same key."""
        same = [table.c[name] == row[name] for name in key]
        connection.execute(delete(table).where(*same))
        connection.execute(insert(table).values(row))
