"""The documents point at what exists, and the map names every package."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "deploy").glob("*.md"),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")
FILES = ("tuner.toml", "tuner.db")
CODE = re.compile(r"`((?:tuner|models|search_spaces|tests|docs|deploy)/[A-Za-z0-9_./]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = [page.parent / target for target in LINK.findall(text)]
    named = [ROOT / path for path in CODE.findall(text) if "NAME" not in path]
    assert [str(path) for path in (*linked, *named) if not path.exists()] == []


def test_modules_that_are_named_exist() -> None:
    for page in PAGES:
        for dotted in re.findall(r"`(tuner(?:\.[a-z_]+)+)[`.(]", page.read_text(encoding="utf-8")):
            assert dotted in FILES or exists(dotted), f"{page.name} names {dotted}"


def exists(dotted: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    try:
        return importlib.import_module(dotted) is not None
    except ImportError:
        module, _, name = dotted.rpartition(".")
        return hasattr(importlib.import_module(module), name)


def test_the_map_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "tuner").glob("*/__init__.py")]
    assert [name for name in packages if not re.search(rf"\b{name}\b", text)] == []
