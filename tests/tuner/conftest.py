"""Run the command line in this process, in an empty folder and a clean environment."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuner.cli.app import run


@dataclass(frozen=True)
class Ran:
    """The exit code and the output of a command line."""

    code: int
    out: str
    err: str

    @property
    def error_message(self) -> str:
        """The error message, which must be the only output and a single line."""
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        return self.err.removeprefix("error: ").rstrip("\n")


CommandLine = Callable[..., Ran]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder, unset the variables that commands read, return the folder."""
    monkeypatch.chdir(tmp_path)
    read = ("TUNER_", "MLFLOW_TRACKING", "RAY_ADDRESS", "COLUMNS", "NO_COLOR", "FORCE_COLOR")
    for name in [name for name in os.environ if name.startswith(read)]:
        if name != "TUNER_DATA_HOME":
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def tuner(here: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return a function that runs a command line and returns its exit code and output."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
