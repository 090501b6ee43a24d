"""Fixtures of the fault matrix: a field for searches of the idle method, and its services."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tuner.two_nodes import Postgres, postgres

from ..locations import Field, forget_methods


@contextmanager
def planted(folder: Path) -> Iterator[Field]:
    """Make a field whose idle method this process can import as well."""
    with pytest.MonkeyPatch.context() as patch:
        made = Field(folder)
        patch.syspath_prepend(made.plugin)
        forget_methods()
        yield made
    forget_methods()


@pytest.fixture(autouse=True)
def _no_connection_for_the_next_test() -> Iterator[None]:
    """Collect the connections that looking at a ledger leaves, whose warnings concern nobody."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    with planted(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server
