"""Numbers on the command line: too small, too large, and not quite numbers."""

import pytest

from tests.tuner.mlflow_store import OLD_LOADER

from .table import Case, bad, table

pytestmark = pytest.mark.filterwarnings(OLD_LOADER)

DRY = "search -m kmeans --dry-run"
HUGE = 10**20


def _number(flag: str, value: object, *says: str, code: int = 2, line: str = DRY) -> Case:
    words = (*line.split(), f"{flag}={value}" if flag.startswith("--") else value)
    return bad(f"{flag} {str(value)[:40]}", words, code, *says)


WHOLE = [
    _number(flag, value, flag, repr(value)[:9], "give a whole number")
    for flag in ("--trials", "--replicas", "--epochs", "--seed", "--workers")
    for value in ("1e3", "0x10", "NaN", "inf", "", "１０", "1,000", "--", "10" * 3000)
]
RANGE = [
    _number("--trials", HUGE, f"{HUGE}", "at most 1,000,000"),
    _number("--trials", 1_000_001, "1000001", "at most 1,000,000"),
    _number("--trials", -0, "trials=0", "at least 1"),
    _number("--trials", "-1", "trials=-1", "at least 1"),
    _number("--replicas", 1_000_000, "1000000", "at most 1,000"),
    _number("--replicas", HUGE, f"{HUGE}", "at most 1,000"),
    _number("--replicas", "-3", "-3", "at least 1"),
    _number("--epochs", HUGE, f"{HUGE}", "at most"),
    _number("--epochs", 0, "epochs=0", "at least 1"),
    _number("--seed", HUGE, f"{HUGE}", "at most"),
    _number("--seed", -1, "seed=-1", "at least 0"),
    _number("--workers", HUGE, f"{HUGE}", "at most"),
    _number("--workers", 0, "--workers 0", "at least 1"),
    _number("--cpus-per-trial", "1e400", "--cpus-per-trial inf", "give a number"),
    _number("--cpus-per-trial", "-0", "--cpus-per-trial -0", "above 0"),
    _number("--cpus-per-trial", "1e-300", "--cpus-per-trial 1e-300", "give"),
    _number("--cpus-per-trial", "1e9", "CPU", "--cpus-per-trial", code=6),
    _number("--gpus-per-trial", "1", "GPU", "--gpus-per-trial", code=6),
    _number("--gpus-per-trial", "0.25", "GPU", "--gpus-per-trial", code=6),
    _number("--gpus-per-trial", "-0.5", "-0.5", "fraction"),
    _number("--gpus-per-trial", "2.5", "2.5", "fraction"),
    _number("--gpus-per-trial", "NaN", "nan", "give a number"),
    _number("--time-budget", "1e400", "'1e400'", "90s, 30m"),
    _number("--time-budget", "-5s", "'-5s'", "90s, 30m"),
    _number("--time-budget", "５m", "'５m'", "90s, 30m"),
    _number("--time-budget", "9" * 400, "90s, 30m"),
    _number("--time-budget", "", "''", "90s, 30m"),
    _number("--set", "n_components=1e400", "n_components", "int"),
    _number("--set", "n_components=NaN", "n_components", "int"),
    _number("--set", "n_components=3.0", "n_components=3.0", "int"),
    _number("--set", "n_components=-0", "n_components=0", "at least 2"),
    _number("--set", f"n_components={HUGE}", f"{HUGE}", "--set n_components=K", code=2),
    _number("--set", "n_components=2000", "2000", "--set n_components=K", code=2),
    _number("--set", "n_components=０", "n_components", "int"),
    _number("--set", "n_components=" + "9" * 5000, "n_components"),
    _number("--set", f"iterations={HUGE}", "iterations", "between 1 and 100000"),
]
OTHERS = [
    _number("--port", value, "--port", repr(str(value)), "give", line="ui")
    for value in ("0", "-1", "65536", "1e3", HUGE)
]
SAMPLES = [
    ("-n", "0", "cannot draw 0 points"),
    ("-n", "-1", "cannot draw -1 points"),
    ("-n", HUGE, "points"),
    ("-k", "3", "no cluster 3"),
    ("-k", HUGE, "no cluster"),
    ("--seed", "-1", "seed"),
    ("--seed", HUGE, "seed"),
    ("--seed", "x", "--seed 'x'"),
]


@table(*WHOLE)
def test_what_is_no_whole_number_is_refused(case, check):
    check(case)


@table(*RANGE, *OTHERS)
def test_a_number_out_of_range_is_refused(case, check):
    check(case)


@pytest.mark.parametrize(("flag", "value", "says"), SAMPLES)
def test_samples_that_cannot_be_drawn_are_refused(flag, value, says, check, done):
    check(bad("", ("sample", done.other_model, flag, value), 2, says))


@pytest.mark.parametrize("value", ["1_0", " 10 ", "+10", "0010"])
def test_what_python_reads_as_ten_is_ten(value, tuner):
    assert '"trials": 10,' in tuner(*DRY.split(), "--trials", value, "--json").out
