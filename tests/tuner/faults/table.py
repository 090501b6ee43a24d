"""Faults with a seed, and the table of what was injected and what held.

`pytest -m "slow and fault" --fault-seed 3` injects every fault by another schedule: which write a
driver dies at, which trial's worker is killed and when, which byte is damaged. A test draws its
schedule from the fixture `rng`, and is marked with the rows of the matrix that it covers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

ROWS = {
    "F1": "driver killed",
    "F2": "Ctrl-C",
    "F3": "Ctrl-C twice, SIGTERM",
    "F4": "worker killed",
    "F5": "out of memory",
    "F6": "machine lost",
    "F7": "head of the cluster lost",
    "F8": "MLflow down for a while",
    "F9": "MLflow gone for good",
    "F10": "MLflow unreachable at the start",
    "F11": "SQLite locked",
    "F12": "PostgreSQL restarted",
    "F13": "disk full",
    "F14": "checkpoint damaged",
    "F15": "last line of metrics torn",
    "F16": "data changed before a resume",
    "F17": "loss not finite",
    "F18": "clusters collapse",
    "F19": "trial hangs",
    "F20": "every trial fails",
    "F21": "two drivers",
    "F22": "promotions at once",
    "F23": "upload cut",
    "F24": "object store down or slow",
    "F26": "early stopping with failures and a resume",
    "F29": "soak",
}
_WORDS = {"passed": "held", "failed": "FAILED", "skipped": "skipped"}
_lines = pytest.StashKey["list[Line]"]()


@dataclass
class Line:
    """One line of the table."""

    row: str
    test: str
    held: str = "not run"
    seconds: float = 0.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-seed",
        type=int,
        default=0,
        help="seed of the schedules by which tests inject faults (default: 0)",
    )
    parser.addoption(
        "--soak-seconds", type=float, default=480.0, help="how long the soak adds trials"
    )


@pytest.fixture(scope="session")
def soak_seconds(request: pytest.FixtureRequest) -> float:
    """How long the soak goes on."""
    return float(request.config.getoption("--soak-seconds"))


@pytest.fixture(scope="session")
def fault_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run's schedules of faults."""
    return int(request.config.getoption("--fault-seed"))


@pytest.fixture
def rng(request: pytest.FixtureRequest, fault_seed: int) -> random.Random:
    """A generator of its own for every test and seed."""
    return random.Random(f"{fault_seed} {request.node.name}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield
    lines: list[Line] = item.config.stash.setdefault(_lines, [])
    if report.when == "setup":
        for mark in item.iter_markers("fault"):
            lines.append(Line(mark.args[0], item.name))
    for line in lines:
        if line.test == item.name:
            line.seconds += report.duration
            if report.when == "call" or report.outcome != "passed":
                line.held = _WORDS[report.outcome]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash.get(_lines, [])
    if not lines:
        return
    seed = config.getoption("--fault-seed")
    terminalreporter.section(f"faults, --fault-seed {seed}")
    for line in sorted(lines, key=lambda line: _order(line.row)):
        what = ROWS.get(line.row, line.row)
        row = line.row if line.row in ROWS else "-"
        terminalreporter.write_line(
            f"{row:4} {what:42} {line.held:8} {line.seconds:6.1f} s  {line.test}"
        )
    missing = [row for row in ROWS if row not in {line.row for line in lines}]
    if missing:
        terminalreporter.write_line(f"no test of this run covers {', '.join(missing)}")


def _order(row: str) -> tuple[int, str]:
    return (int(row[1:]) if row in ROWS else 1000, row)
