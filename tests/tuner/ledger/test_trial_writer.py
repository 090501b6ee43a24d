"""Both writers of trials write the same, and the fast one only into tables that it knows."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import MetaData, select

from tuner.ledger.trial_writer import (
    SQLTrialWriter,
    StorageTrialWriter,
    TrialWriter,
    trial_writer,
)

Writer = Callable[[RDBStorage, int], TrialWriter]
WRITERS = (SQLTrialWriter, StorageTrialWriter)


def opened(path: Path) -> tuple[RDBStorage, int]:
    """Return a fresh database and the id of a study in it."""
    storage = RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    return storage, study._study_id


def running(number: int) -> FrozenTrial:
    """Return a new trial with a parameter of every kind and attributes."""
    distributions: dict[str, Any] = {
        "gmm.n_components": IntDistribution(2, 30, log=True),
        "gmm.regularisation": FloatDistribution(1e-6, 1e-2, log=True),
        "gmm.covariance": CategoricalDistribution(("full", "diag")),
    }
    return FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime(2026, 1, 2, 3, 4, 5),
        datetime_complete=None,
        params={"gmm.n_components": 7, "gmm.regularisation": 1e-3, "gmm.covariance": "diag"},
        distributions=distributions,
        user_attrs={"attempt": 0},
        system_attrs={"tpe:group": [1, 2]},
        intermediate_values={},
        trial_id=number,
    )


def write_everything(writer: TrialWriter) -> None:
    """Write a complete, a pruned, a failed and a running trial."""
    ids = [writer.create(running(number)) for number in range(4)]
    for trial_id in ids:
        writer.report(trial_id, 1, 0.25)
        writer.report(trial_id, 2, 0.5)
        writer.report(trial_id, 2, 0.75)  # a retry may bring another value
        writer.set_attribute("user", trial_id, "stopped", 2)
        writer.set_attribute("system", trial_id, "completed_rung_0", 0.5)
        writer.set_attribute("system", trial_id, "completed_rung_0", 0.75)
    writer.end(ids[0], TrialState.COMPLETE, [0.75], {"outcome": {"reason": None, "sd": 0.1}})
    writer.end(ids[1], TrialState.PRUNED, [0.5], {"outcome": {"reason": "pruned"}})
    writer.end(ids[2], TrialState.FAIL, [], {"outcome": {"reason": "oom"}})


def rows(storage: RDBStorage) -> dict[str, list[Any]]:
    """Return the rows of all tables about trials, without row ids and the time of the end."""
    described = MetaData()
    described.reflect(storage.engine)
    found = {}
    with storage.engine.connect() as connection:
        for name, table in described.tables.items():
            if not name.startswith("trial"):
                continue
            own = f"{name.removesuffix('s')}_id" if name != "trials" else ""
            left_out = {own, "trial_value_id", "param_id", "datetime_complete"}
            columns = [c for c in table.columns if c.name not in left_out]
            found[name] = sorted(map(repr, connection.execute(select(*columns)).all()))
    return found


def as_read(storage: RDBStorage, study_id: int) -> list[dict[str, Any]]:
    """Return the trials as Optuna reads them, but for ids and the time of their end."""
    return [
        {k: v for k, v in vars(t).items() if k not in ("_trial_id", "datetime_complete")}
        for t in storage.get_all_trials(study_id)
    ]


def test_both_writers_write_the_same(tmp_path: Path) -> None:
    found = []
    for writer in WRITERS:
        storage, study_id = opened(tmp_path / f"{writer.__name__}.db")
        write_everything(writer(storage, study_id))
        found.append((rows(storage), as_read(storage, study_id)))
    (sql_rows, sql_trials), (public_rows, public_trials) = found
    assert sql_trials == public_trials
    assert {name: len(table) for name, table in sql_rows.items()} == {
        "trials": 4,
        "trial_params": 12,
        "trial_values": 2,
        "trial_intermediate_values": 8,
        "trial_user_attributes": 11,
        "trial_system_attributes": 8,
        "trial_heartbeats": 0,
    }
    assert sql_rows == public_rows


@pytest.mark.parametrize("writer", WRITERS)
def test_a_trial_ends_once(writer: Writer, tmp_path: Path) -> None:
    storage, study_id = opened(tmp_path / "tuner.db")
    made = writer(storage, study_id)
    trial_id = made.create(running(0))
    made.end(trial_id, TrialState.COMPLETE, [0.5], {"outcome": 1})
    with pytest.raises(UpdateFinishedTrialError):
        made.end(trial_id, TrialState.FAIL, [], {"outcome": 2})
    (trial,) = storage.get_all_trials(study_id)
    assert (trial.state, trial.user_attrs["outcome"]) == (TrialState.COMPLETE, 1)


def test_unknown_tables_are_left_to_optuna(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study_id = opened(tmp_path / "tuner.db")
    assert isinstance(trial_writer(storage, study_id), SQLTrialWriter)
    monkeypatch.setattr(storage, "get_current_version", lambda: "v9.0.0.a")
    assert isinstance(trial_writer(storage, study_id), StorageTrialWriter)


def test_the_installed_optuna_makes_the_tables_that_are_known(tmp_path: Path) -> None:
    storage, _ = opened(tmp_path / "tuner.db")
    assert storage.get_current_version() == "v3.2.0.a"
