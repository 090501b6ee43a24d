"""A command line in this process, in a folder of its own, with nothing set around it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuner.cli import run


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error, which has to be one sentence on one line and nothing else."""
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        return self.err.removeprefix("error: ").rstrip("\n")


CommandLine = Callable[..., Ran]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, empty, with no variable set that a command reads."""
    monkeypatch.chdir(tmp_path)
    read = ("TUNER_", "MLFLOW_TRACKING", "RAY_ADDRESS", "COLUMNS", "NO_COLOR", "FORCE_COLOR")
    for name in [name for name in os.environ if name.startswith(read)]:
        if name != "TUNER_DATA_HOME":
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def tuner(here: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return a function that runs a command line and tells what it did."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
