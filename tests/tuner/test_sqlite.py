import sqlite3
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from tuner.errors import DiskError
from tuner.sqlite import database_file, database_lock


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db", Path("mlflow.db").absolute()),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql+psycopg://u@h/db", None),
        ("http://localhost:5000", None),
        ("./mlruns", None),
        ("", None),
    ],
)
def test_the_file_of_a_uri(uri, file):
    assert database_file(uri) == file


def connect(path):
    return sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool).connect()


def pragma(connection, name):
    return connection.execute(sqlalchemy.text(f"PRAGMA {name}")).scalar()


def test_commits_do_not_wait_for_the_disk(tmp_path):
    with database_lock(f"sqlite:///{tmp_path / 'a.db'}"), connect(tmp_path / "a.db") as connection:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 1


def test_other_databases_are_not_changed(tmp_path):
    with database_lock(f"sqlite:///{tmp_path / 'a.db'}"), connect(tmp_path / "b.db") as connection:
        assert pragma(connection, "journal_mode") == "delete"
    other = sqlite3.connect(tmp_path / "b.db")
    assert other.execute("PRAGMA synchronous").fetchone() == (2,)
    other.close()


def test_the_lock_is_exclusive(tmp_path):
    uri, inside, most = f"sqlite:///{tmp_path / 'a.db'}", [], []

    def visit():
        with database_lock(uri):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=visit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_missing_folder_is_refused(tmp_path):
    with (
        pytest.raises(DiskError, match="choose another folder"),
        database_lock(f"sqlite:///{tmp_path / 'absent' / 'a.db'}"),
    ):
        raise AssertionError


def test_the_lock_leaves_no_files(tmp_path):
    with database_lock(f"sqlite:///{tmp_path / 'a.db'}"):
        pass
    assert list(tmp_path.iterdir()) == []
