"""The picture of a run in the README."""

import importlib.util
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("search_svg", ROOT / "docs" / "search_svg.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_output_is_drawn_without_fonts_from_elsewhere(drawing: ModuleType) -> None:
    code = (
        "import os, sys; assert sys.stdout.isatty(); "
        "print('\\033[1mMLflow\\033[0m', f'sqlite:///{os.getcwd()}/mlflow.db')"
    )
    command = [sys.executable, "-c", code]
    output = drawing.output_of(command)
    assert output == "\033[1mMLflow\033[0m sqlite:///mlflow.db\n"
    check(drawing.drawn(command, output))


def test_the_picture_of_the_readme_fetches_nothing() -> None:
    check((ROOT / ".github" / "search.svg").read_text(encoding="utf-8"))


def test_a_command_that_fails_draws_nothing(drawing: ModuleType) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        drawing.output_of([sys.executable, "-c", "raise SystemExit(3)"])


def check(svg: str) -> None:
    ET.fromstring(svg)
    assert "@font-face" not in svg
    assert "url(http" not in svg
    assert "ui-monospace" in svg
