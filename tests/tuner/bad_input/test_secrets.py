"""Passwords planted in every URL and variable are found nowhere: output, files, databases."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from .table import CANARY, PLANTED

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

USER = f"me:{CANARY}@"
FORMS = [
    f"{USER}127.0.0.1:9/x",
    f"{CANARY}@127.0.0.1:9/x",
    f"me:{CANARY}@{CANARY}@127.0.0.1:9/x",
    f"me:{CANARY}/{CANARY}@127.0.0.1:9/x",
    f"me:%40{CANARY}%2F@127.0.0.1:9/x",
    f"127.0.0.1:9/x?password={CANARY}",
    f"127.0.0.1:9/x?sslmode=nope&sslpassword={CANARY}",
    f"{USER}[::1/x",
    f"{USER}127.0.0.1:99999/x",
    f"{USER}127.0.0.1:port/x",
    f"{USER}no-such-host.invalid/x",
    f"{USER}/x",
]
LINES = [
    *(f"status --storage postgresql+psycopg://{form}" for form in FORMS),
    *(f"models --tracking-uri postgresql+psycopg://{form}" for form in FORMS),
    *(f"models --tracking-uri http://{form}" for form in FORMS),
    *(f"resume x --address ray://{form} --storage sqlite:///x.db" for form in FORMS[:2]),
    f"search -m kmeans --address {USER}127.0.0.1:9",
    f"search -m kmeans --address http://{USER}head:8265",
    f"search -m kmeans --storage nope://{USER}host/x",
    f"search -m kmeans --tracking-uri nope://{USER}host/x",
    f"search -m kmeans --tracking-uri http://{USER}127.0.0.1:9/x",
    f"search -m kmeans --storage postgresql+psycopg://{USER}127.0.0.1:9/x",
    f"search -m kmeans --storage mysql+nope://{USER}127.0.0.1:9/x",
    f"search -m kmeans --artifacts s4://{USER}bucket/x",
    f"search -m kmeans --dataset https://{USER}host/x.csv",
    f"data https://{USER}host/x.csv?token={CANARY} --out x.png",
    f"sample https://{USER}host/model",
    f"predict s3://{USER}bucket/model x.npy",
    f"sample models:/x --tracking-uri http://{USER}127.0.0.1:9/x",
    f"promote x 1 --tracking-uri http://{USER}127.0.0.1:9/x",
    f"rollback x --tracking-uri postgresql+psycopg://{USER}127.0.0.1:9/x",
    f"doctor x --storage postgresql+psycopg://{USER}127.0.0.1:9/x",
    f"sync x --storage postgresql+psycopg://{USER}127.0.0.1:9/x",
    f"ui --tracking-uri https://{USER}127.0.0.1:9/x",
    f"search -m kmeans --dry-run --tracking-uri https://{USER}host/x --address host:6379 --json",
]


@pytest.fixture
def planted(monkeypatch, here) -> None:
    for name in PLANTED:
        monkeypatch.setenv(name, CANARY)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Return what any logger says."""
    lines: list[str] = []
    handler = logging.Handler(level=logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def found_in(folder: Path) -> list[str]:
    """Return the files below a folder that hold the canary, and its databases' rows."""
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            hits.append(str(path))
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                hits += [row for row in database.iterdump() if CANARY in row]
    return hits


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.replace(CANARY, "X")[:70])
def test_no_failing_command_tells_a_password(line, tuner, here, planted, heard):
    ran = tuner(*line.split())
    assert CANARY not in ran.out + ran.err
    assert not [said for said in heard if CANARY in said]
    assert found_in(here) == []
    if ran.code != 0:
        assert ran.err.count("\n") == 1
        assert ran.code in (2, 3, 4)


@pytest.mark.parametrize("variable", ["TUNER_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"])
@pytest.mark.parametrize("command", ["search -m kmeans", "status", "models", "doctor", "ui"])
def test_no_variable_tells_a_password(command, variable, tuner, here, planted, monkeypatch):
    scheme = {"TUNER_STORAGE": "postgresql+psycopg", "RAY_ADDRESS": "ray"}.get(variable, "http")
    monkeypatch.setenv(variable, f"{scheme}://{USER}127.0.0.1:9/x")
    monkeypatch.setattr("os.execv", lambda *_: None)
    (here / "mlflow.db").touch()
    ran = tuner(*command.split())
    assert CANARY not in ran.out + ran.err
    assert found_in(here) == []


def test_a_whole_search_stores_no_password(finished):
    """Neither ledger, MLflow, artifacts, models nor reports, though all variables were planted."""
    assert len([path for path in finished.folder.rglob("*") if path.is_file()]) > 20
    assert found_in(finished.folder) == []


def test_a_password_that_is_found_would_be_noticed(here):
    (here / "log").write_text(f"x{CANARY}")
    with closing(sqlite3.connect(here / "a.db")) as database, database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (CANARY,))
    assert len(found_in(here)) == 3
