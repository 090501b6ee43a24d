"""Run a case in an empty folder and compare everything before and after."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tuner.conftest import CommandLine
from tests.tuner.in_process import FinishedSearch, run_search

from .table import CANARY, PLANTED, Case, require_sentence, rows, tree

Check = Callable[..., None]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where bad input gets as far as Ray or a server."""
    import ray

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("bad input has reached Ray or a server")

    monkeypatch.setattr(ray, "init", reached)
    monkeypatch.setattr("os.execv", reached)


@pytest.fixture
def scratch(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> Path:
    """Return the folder of temporary files, which is empty."""
    folder: Path = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def own_files(scratch: Path) -> list[Path]:
    """Return what is left in the folder of temporary files, without the cache of torch."""
    return [path for path in scratch.iterdir() if not path.name.startswith("torchinductor")]


@pytest.fixture
def check(here: Path, tuner: CommandLine, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks a case, after `made` has been done to the folder."""

    def call(case: Case) -> None:
        if case.make is not None:
            case.make(here)
        for name, value in case.variables.items():
            monkeypatch.setenv(name, value)
        before = tree(here)
        ran = tuner(*case.line)
        assert (ran.code, ran.out) == (case.code, ""), ran.err
        require_sentence(ran.error_message, case.says)
        assert tree(here) == before, "something was written"
        assert not own_files(scratch), "temporary files are left over"

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> FinishedSearch:
    """Return a finished search, run while every variable that holds secrets was planted."""
    with pytest.MonkeyPatch.context() as patch:
        for name in PLANTED:
            patch.setenv(name, CANARY)
        return run_search(tmp_path_factory.mktemp("finished"), name="done")


@pytest.fixture
def done(finished, scratch: Path):
    """Return a finished search, whose databases and files must not change."""
    search = finished
    databases = [search.folder / name for name in ("tuner.db", "mlflow.db")]
    before = [*map(rows, databases)], tree(search.locations.artifacts)
    yield search
    assert ([*map(rows, databases)], tree(search.locations.artifacts)) == before
