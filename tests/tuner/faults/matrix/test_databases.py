"""Rows F11 and F12: databases that are locked, restarted, off for good, or of another kind."""

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.tuner.mlflow_store import OLD_LOADER
from tests.tuner.two_nodes import PASSWORD, Postgres, postgres, tracking
from tuner.ledger.ledger import Ledger

from ..locations import ROOT, Field
from ..plans import plan
from ..rehearsal import opened
from .support import begin, check_points, check_whole, idle, outcomes, reach

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(OLD_LOADER),
    # what looks at a ledger again and again leaves its connections to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# in another process: locks of one process do not exclude each other
_HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""
_WRITE = """
import sys
from pathlib import Path
from tests.tuner.faults.plans import plan
from tests.tuner.faults.rehearsal import controller_of, execute, opened
from tests.tuner.faults import rehearsal
url, folder, rehearsal.NAME = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
study = plan("plain", trials=12, sampler="random")
ledger = opened(url, study)
execute(controller_of(study, ledger, folder), workers=2)
ledger.close()
"""


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Let another process lock an SQLite file for some seconds."""
    command = [sys.executable, "-c", _HOLD, str(path), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.fault("F11")
@pytest.mark.parametrize("file", ["tuner.db", "mlflow.db"])
def test_f11_a_file_that_is_locked_for_twenty_seconds_costs_nothing(
    field: Field, rng: random.Random, file: str
) -> None:
    with field.driver(*begin(field, "locked", *idle(16, pause=0.1))) as driver:
        reach(field, "locked", rng.randint(1, 8), driver=driver)
        with locked(field.folder / file, 20) as holder:
            assert driver.poll() is None, "it was locked too late"
            holder.wait(60)
        _, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, err
    assert "Traceback" not in err
    assert {e.state for e in field.entries("locked")} == {"COMPLETE"}
    assert len(field.entries("locked")) == 16
    assert field.wrong("locked") == []
    check_points(field, "locked")


@pytest.mark.fault("F11")
def test_f11_a_file_that_stays_locked_is_a_sentence(field: Field) -> None:
    study = plan("plain", trials=2)
    opened(field.locations.storage, study).close()
    with locked(field.folder / "tuner.db", 150):
        ended = field.run(*begin(field, "waits", *idle(2)))
    assert ended.code == 4, ended.err
    assert 50 < ended.seconds < 120
    assert "locked" in ended.err
    assert str(field.folder / "tuner.db") in ended.err or "TUNER_STORAGE" in ended.err
    assert ended.err.strip().count("\n") == 0, "one sentence"
    assert not any(field.notes.iterdir()), "nothing was trained"


@pytest.mark.fault("F11")
def test_f11_eight_writers_lose_nothing(tmp_path: Path, rng: random.Random) -> None:
    url, folder = f"sqlite:///{tmp_path / 'tuner.db'}", tmp_path
    whole = opened(
        f"sqlite:///{tmp_path / 'whole.db'}", plan("plain", trials=12, sampler="random")
    )
    whole.close()
    names = [f"writer-{n}" for n in range(8)]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITE, url, str(folder), name],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for _ in range(6):
        time.sleep(rng.uniform(0.2, 1.5))
        with closing(sqlite3.connect(tmp_path / "tuner.db", timeout=60)) as held:
            held.execute("BEGIN EXCLUSIVE")
            time.sleep(rng.uniform(0.0, 1.0))
    said = [writer.communicate(timeout=200)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, said
    for name in names:
        entries = Ledger.load(url, name).trials()
        assert [e.number for e in entries] == list(range(12))
        assert {e.state for e in entries} <= {"COMPLETE", "PRUNED"}
        for entry in entries:
            steps = sorted(entry.intermediate_values)
            assert steps == list(range(1, steps[-1] + 1)), "a point was lost"


@pytest.mark.fault("F12")
def test_f12_a_database_that_restarts_costs_nothing(
    field: Field, database: Postgres, rng: random.Random
) -> None:
    field.storage, field.tracking_uri = database.url("tuner"), database.url("mlflow")
    with field.driver(*begin(field, "restarted", *idle(20, pause=0.2))) as driver:
        for goal in sorted(rng.sample(range(1, 16), 2)):
            reach(field, "restarted", goal, driver=driver)
            database.stop()
            time.sleep(rng.uniform(0.0, 8.0))
            database.start()
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, (out, err)
    assert "Traceback" not in err
    entries = field.entries("restarted")
    assert [(e.number, e.state) for e in entries] == [(n, "COMPLETE") for n in range(20)]
    assert field.wrong("restarted") == []
    check_points(field, "restarted")


@pytest.mark.fault("F12")
def test_f12_a_database_that_is_off_for_good_is_a_sentence_within_its_limit(
    field: Field, database: Postgres, rng: random.Random
) -> None:
    field.storage = database.url("tuner")
    with field.driver(*begin(field, "off", *idle(40, pause=0.3))) as driver:
        reach(field, "off", rng.randint(1, 10), driver=driver)
        database.stop()
        began = time.monotonic()
        out, err = driver.communicate(timeout=240)
        seconds = time.monotonic() - began
    assert driver.returncode == 4, (out, err)
    assert seconds < 100, "the message says 60 s"
    assert "TUNER_STORAGE" in err
    assert "Traceback" not in err
    assert PASSWORD not in err
    database.start()
    again = field.run("resume", "off", "--json")
    check_whole(field, "off", 40, again)


@pytest.mark.fault("every pair of databases")
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
@pytest.mark.parametrize("mlflow", ["sqlite", "postgresql", "http"])
def test_every_pair_of_databases_leads_to_a_champion(
    field: Field, ledger: str, mlflow: str
) -> None:
    with ExitStack() as services:
        if "postgresql" in (ledger, mlflow):
            server = services.enter_context(postgres())
            field.storage = server.url("tuner") if ledger == "postgresql" else ""
            field.tracking_uri = server.url("mlflow") if mlflow == "postgresql" else ""
        if mlflow == "http":
            store = f"sqlite:///{field.folder / 'server.db'}"
            field.tracking_uri = services.enter_context(tracking(field.folder, store))
        ended = field.run(*begin(field, "pair", *idle(6)))
        check_whole(field, "pair", 6, ended)
        assert ended.result["champion"]["promoted"]
        check_points(field, "pair")
        used = field.run("predict", "models:/blobs@champion", str(field.data), "-o", "out.csv")
        assert used.code == 0, used.err
        own = {"tuner.db": ledger == "sqlite", "mlflow.db": mlflow == "sqlite"}
        assert {name: (field.folder / name).exists() for name in own} == own
        assert mlflow == "sqlite" or not (field.folder / "mlruns").exists()


@pytest.mark.fault("two searches begun at once in a new folder")
@pytest.mark.parametrize("named", [True, False])
def test_two_searches_begun_at_once_in_a_new_folder(field: Field, named: bool) -> None:
    ended = {}

    def run(name: str) -> None:
        words = list(begin(field, name, *idle(4, workers=1)))
        if not named:
            words[3:5] = []
        ended[name] = field.run(*words)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.code for e in ended.values()] == [0, 0], [e.err for e in ended.values()]
    names = {e.result["search"] for e in ended.values()}
    assert names == ({"one", "two"} if named else {"idle-blobs-1", "idle-blobs-2"})
    for name in names:
        assert len(outcomes(field.entries(name))) == 4
        assert field.wrong(name) == []
