"""The example of a package outside of this one keeps the contract, as its README promises."""

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.methods import catalog
from tuner.methods.contract import (
    Bounds,
    Decodes,
    Generates,
    Method,
    Pretrains,
    Random,
    Trains,
    Traverses,
)
from tuner.study.space import method_space
from tuner.testing import CHECKS, Check, Subject, checks

EXAMPLE = Path(__file__).parents[2] / "example"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
((NAME, POINT),) = PROJECT["project"]["entry-points"]["tuner.methods"].items()
MODULE, _, CLASS = POINT.partition(":")
CAN = (Method, Random, Trains, Pretrains, Decodes)
ASKED = [check for kind in CAN for check in CHECKS[kind]]


def forget() -> None:
    for cached in (catalog.names, catalog.method, method_space, catalog._plugins):
        cached.cache_clear()
    for module in [m for m in sys.modules if m.split(".")[0] == MODULE.split(".")[0]]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the example visible as its installation would, and say the method's name."""
    project = PROJECT["project"]
    folder = tmp_path_factory.mktemp("site")
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "entry_points.txt").write_text(f"[tuner.methods]\n{NAME} = {POINT}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        patch.syspath_prepend(str(folder))
        forget()
        yield NAME
    forget()


@pytest.fixture(scope="module")
def subject(example: str) -> Subject:
    return Subject.of(example)


def test_the_catalog_lists_the_example(example: str) -> None:
    assert example in catalog.names()
    assert catalog.distribution(example) == PROJECT["project"]["name"]
    assert catalog.method(example) is getattr(importlib.import_module(MODULE), CLASS)
    assert {"n_components", "clustering_weight"} <= method_space(example).parameters.keys()


def test_the_page_of_the_example_is_short() -> None:
    page = EXAMPLE.joinpath(*MODULE.split(".")).with_suffix(".py")
    assert len(page.read_text(encoding="utf-8").splitlines()) < 150


def test_the_space_of_the_example_is_packed_with_it() -> None:
    package = MODULE.split(".")[0]
    assert package in PROJECT["tool"]["setuptools"]["packages"]
    assert "*.yaml" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_no_check_of_the_example_is_left_out(subject: Subject) -> None:
    assert checks(subject) == ASKED
    assert {*CHECKS} == {*CAN, Generates, Traverses, Bounds}


@pytest.mark.parametrize("check", ASKED, ids=lambda check: check.__name__)
def test_the_example_keeps_the_contract(subject: Subject, check: Check) -> None:
    check(subject)
