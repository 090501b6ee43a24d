"""Writes trials of one study to the ledger's database.

Optuna's storage reads a trial back before it writes each single value of it, which costs more
than all else that a search does around a short trial. `SQLTrialWriter` therefore writes several
rows of Optuna's tables in one transaction. It knows one version of these tables; for any other,
`StorageTrialWriter` goes through Optuna's public interface and writes the same. Reading is always
left to Optuna.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, final

from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, MetaData, Table, delete, insert, update

Kind = Literal["user", "system"]

KNOWN_SCHEMA = "v3.2.0.a"
"""The version of Optuna's tables that `SQLTrialWriter` writes."""

_TABLES = (
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
)


class TrialWriter(ABC):
    """Writes trials of one study; any call may safely be repeated, except `create`."""

    @abstractmethod
    def create(self, trial: FrozenTrial) -> int:
        """Write a new running trial with its parameters; return its id in the database."""

    @abstractmethod
    def report(self, trial_id: int, step: int, value: float) -> None:
        """Write a finite intermediate value."""

    @abstractmethod
    def set_attribute(self, kind: Kind, trial_id: int, key: str, value: Any) -> None:
        """Write a user or system attribute."""

    @abstractmethod
    def end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Give a running trial its terminal state, finite values and user attributes.

        Raises UpdateFinishedTrialError for a trial that has ended before.
        """


def trial_writer(storage: RDBStorage, study_id: int) -> TrialWriter:
    """Return the fastest writer that knows the tables of a database."""
    if storage.get_current_version() == KNOWN_SCHEMA:
        return SQLTrialWriter(storage, study_id)
    return StorageTrialWriter(storage, study_id)


@final
class StorageTrialWriter(TrialWriter):
    """Writes through Optuna's public interface, whatever the tables are."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        self._storage, self._study_id = storage, study_id

    def create(self, trial: FrozenTrial) -> int:
        """Write a new running trial in one transaction."""
        return self._storage.create_new_trial(self._study_id, template_trial=trial)

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Write a finite intermediate value."""
        self._storage.set_trial_intermediate_value(trial_id, step, value)

    def set_attribute(self, kind: Kind, trial_id: int, key: str, value: Any) -> None:
        """Write a user or system attribute."""
        if kind == "user":
            self._storage.set_trial_user_attr(trial_id, key, value)
        else:
            self._storage.set_trial_system_attr(trial_id, key, value)

    def end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Write the attributes first, since a trial that has ended takes none."""
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        self._storage.set_trial_state_values(trial_id, state, list(values) or None)


@final
class SQLTrialWriter(TrialWriter):
    """Writes rows of Optuna's tables; every call is one transaction."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        described = MetaData()
        described.reflect(storage.engine, only=_TABLES)
        self._engine, self._study_id = storage.engine, study_id
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
            if params := _param_rows(trial_id, trial):
                connection.execute(insert(self._tables["trial_params"]), params)
            self._set_attributes(connection, "user", trial_id, trial.user_attrs)
            self._set_attributes(connection, "system", trial_id, trial.system_attrs)
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
            _replace(connection, table, row, ("trial_id", "step"))

    def set_attribute(self, kind: Kind, trial_id: int, key: str, value: Any) -> None:
        """Write a user or system attribute."""
        with self._engine.begin() as connection:
            self._set_attributes(connection, kind, trial_id, {key: value})

    def end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Write state, values and attributes in one transaction."""
        trials = self._tables["trials"]
        ended = {"state": state.name, "datetime_complete": datetime.now()}
        running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING.name)
        with self._engine.begin() as connection:
            if connection.execute(update(trials).where(running).values(ended)).rowcount == 0:
                raise UpdateFinishedTrialError(f"trial {trial_id} has ended before")
            self._set_attributes(connection, "user", trial_id, attributes)
            for objective, value in enumerate(values):
                row = {
                    "trial_id": trial_id,
                    "objective": objective,
                    "value": value,
                    "value_type": "FINITE",
                }
                table = self._tables["trial_values"]
                _replace(connection, table, row, ("trial_id", "objective"))

    def _set_attributes(
        self, connection: Connection, kind: Kind, trial_id: int, values: Mapping[str, Any]
    ) -> None:
        table = self._tables[f"trial_{kind}_attributes"]
        for key, value in values.items():
            row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            _replace(connection, table, row, ("trial_id", "key"))


def _param_rows(trial_id: int, trial: FrozenTrial) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]


def _replace(
    connection: Connection, table: Table, row: Mapping[str, Any], key: Sequence[str]
) -> None:
    """Write a row in place of the one with the same key, if there is one."""
    same = [table.c[name] == row[name] for name in key]
    connection.execute(delete(table).where(*same))
    connection.execute(insert(table).values(row))
