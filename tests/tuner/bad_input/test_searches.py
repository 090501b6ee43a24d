"""Recorded searches: newer and older schemas, damaged records, data that have changed."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tests.tuner.in_process import no_ray
from tests.tuner.mlflow_store import OLD_LOADER

from .table import bad

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

COMMANDS = ("status done", "resume done", "doctor done", "sync done")
Record = dict[str, Any]


def _study(**values: object) -> Callable[[Record], object]:
    return lambda record: {**record, "study": {**record["study"], **values}}


DAMAGED: dict[str, tuple[Callable[[Record], object], str]] = {
    "null": (lambda _: None, "is None"),
    "a text": (lambda _: "x", "is 'x'"),
    "a list": (lambda _: [1], "is [1]"),
    "empty": (lambda _: {}, "trials None"),
    "no study": (lambda r: {k: v for k, v in r.items() if k != "study"}, "no study"),
    "no trials": (lambda r: {k: v for k, v in r.items() if k != "trials"}, "trials None"),
    "schema text": (lambda r: {**r, "schema": "x"}, "schema"),
    "schema 0": (lambda r: {**r, "schema": 0}, "schema 0"),
    "schema -1": (lambda r: {**r, "schema": -1}, "schema -1"),
    "schema null": (lambda r: {**r, "schema": None}, "schema"),
}
CHANGED: dict[str, tuple[Callable[[Record], object], int, str]] = {
    "schema 99": (lambda r: {**r, "schema": 99}, 2, "upgrade tuner"),
    "unknown key": (_study(colour="red"), 2, "colour"),
    "unknown method": (_study(methods=["gmva"]), 2, "did you mean 'gmvae'"),
    "other seed": (_study(seed=9), 2, "seed was"),
    "10^20 trials": (lambda r: _study(trials=10**20)(r), 2, "at most"),
    "data gone": (_study(dataset="/nowhere/blobs.npz"), 3, "there is no file"),
    "data elsewhere": (_study(dataset="../../../etc/passwd"), 3, "passwd"),
    "other data": (_study(dataset="arcs", labels=None), 3, "fingerprint"),
}


@pytest.fixture
def copied(done, here):
    """Copy the ledger here, and return what changes its record."""
    with (
        closing(sqlite3.connect(done.folder / "tuner.db")) as source,
        closing(sqlite3.connect(here / "tuner.db")) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=WAL")

    def change(how: Callable[[Record], object]) -> None:
        where = "WHERE key = 'record'"
        with closing(sqlite3.connect(here / "tuner.db")) as ledger, ledger:
            select = f"SELECT value_json FROM study_user_attributes {where}"
            ((text,),) = ledger.execute(select).fetchall()
            new = json.dumps(how(json.loads(text)))
            ledger.execute(f"UPDATE study_user_attributes SET value_json = ? {where}", (new,))

    return change


def _flags(command: str, done: Any) -> list[str]:
    return [] if command.startswith("status") else done.flags[2:]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", DAMAGED)
def test_a_record_that_is_damaged_is_refused(name, command, check, copied, done):
    how, says = DAMAGED[name]
    copied(how)
    with no_ray():
        check(
            bad(
                "",
                (*command.split(), *_flags(command, done)),
                2,
                "record of this search",
                says,
                "restore",
            )
        )


@pytest.mark.parametrize("command", ["resume done", "sync done"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_search_that_cannot_go_on_is_refused(name, command, check, copied, done):
    how, code, says = CHANGED[name]
    if command == "sync done" and code == 3:
        pytest.skip("what has ended is sent to MLflow without its data")
    copied(how)
    with no_ray():
        check(bad("", (*command.split(), *_flags(command, done)), code, says))


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_a_search_whose_data_have_changed_is_refused(how, check, copied, done, here):
    shutil.copy(done.folder / "blobs.npz", here / "blobs.npz")
    copied(_study(dataset="blobs.npz"))
    if how == "changed":
        np.savez(here / "blobs.npz", x=np.random.default_rng(1).normal(size=(200, 4)))
    elif how == "cut":
        (here / "blobs.npz").write_bytes((here / "blobs.npz").read_bytes()[:-99])
    else:
        (here / "blobs.npz").unlink()
    with no_ray():
        check(bad("", ("resume", "done", *done.flags[2:]), 3, "blobs.npz", ": "))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--trials 3", "already has 5"),
        ("--trials 0", "already has 5"),
        ("--trials -1", "already has 5"),
        (f"--trials {10**20}", "at most 1,000,000"),
        ("--workers 0", "--workers 0"),
        ("--time-budget soon", "90s, 30m"),
        ("--address x", "host and port"),
    ],
)
def test_a_search_is_not_resumed_with_what_cannot_be(flags, says, check, done, here):
    line = ("resume", "done", *flags.split(), *done.flags, "--artifacts", here / "files")
    check(bad("", line, 2, says))
