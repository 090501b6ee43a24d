"""Examples in docstrings run, and public names are documented in sections.

All examples share one folder, in which the search in the docstring of `tuner.search` has run.
"""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tuner
from tests.tuner.in_process import no_ray
from tests.tuner.mlflow_store import OLD_LOADER

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FUNCTIONS = ("load", "resume", "search")
pytestmark = pytest.mark.filterwarnings(OLD_LOADER)


def modules() -> Iterator[str]:
    """Yield the modules with examples; the others need not be imported."""
    pages = {*(ROOT / "tuner").rglob("*.py"), *(ROOT / "tuner" / "models").rglob("*.py")}
    for page in sorted(pages):
        if "\n    >>> " in page.read_text(encoding="utf-8"):
            yield ".".join(page.relative_to(ROOT).with_suffix("").parts)


def examples_of(module: str, names: dict[str, Any]) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    found = finder.find(importlib.import_module(module), globs=names)
    return [example for example in found if example.examples]


def check(example: doctest.DocTest) -> None:
    """Run an example; its first difference is raised with its place."""
    runner = doctest.DebugRunner(optionflags=FLAGS)
    try:
        runner.run(example, clear_globs=False)
    except doctest.DocTestFailure as failure:
        expected, got = failure.example.want, failure.got
        pytest.fail(f"{example.name}, {failure.example.source}expected {expected}got {got}")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run the example of `tuner.search` and yield its names."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, no_ray():
        patch.chdir(tmp_path_factory.mktemp("examples"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd() / 'mlflow.db'}")
        for variable in ("TUNER_STORAGE", "TUNER_ARTIFACTS"):
            patch.delenv(variable, raising=False)
        (example,) = [
            found
            for found in examples_of("tuner.orchestration.search", names)
            if found.name == "tuner.orchestration.search.search"
        ]
        check(example)
        yield example.globs


@pytest.mark.parametrize("module", list(modules()))
def test_examples_run(module: str, searched: dict[str, Any]) -> None:
    for example in examples_of(module, searched):
        if example.name != "tuner.orchestration.search.search":  # has run
            check(example)


def test_public_names_have_sections_and_an_example() -> None:
    found = set(modules())
    for name in tuner.__all__:
        public = getattr(tuner, name)
        text = inspect.getdoc(public) or ""
        assert public.__module__ in found, name
        assert "\nExamples\n--------\n" in text, name
        assert ("\nParameters\n" in text) or ("\nAttributes\n" in text), name


@pytest.mark.parametrize("name", ["Study", "Preparation", *FUNCTIONS])
def test_every_parameter_is_documented(name: str) -> None:
    public = getattr(tuner, name)
    section = (inspect.getdoc(public) or "").partition("\nParameters\n----------\n")[2]
    lines = [line for line in section.splitlines() if line and not line.startswith(" ")]
    named = {word for line in lines for word in line.split(", ")}
    assert set(inspect.signature(public).parameters) <= named


def test_a_wrong_example_is_found() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "sum", None, None)
    with pytest.raises(pytest.fail.Exception, match="expected 3"):
        check(example)
