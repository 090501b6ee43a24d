"""Links, commands, code and tables in the README and in docs/ are right."""

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import tuner
from tuner import errors
from tuner.cli.app import app, run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]\[]+\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCE.findall(text_of(page)) if kind == language]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as code hosts and the site make them."""
    headings = HEADING.findall(FENCE.sub("", text_of(page)))
    words = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {re.sub(r"\s", "-", word.strip()) for word in words}


@pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in LINK.findall(FENCE.sub("", text_of(page))):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def command_lines(page: Path) -> Iterator[str]:
    """Yield the commands in blocks for a shell, and those that start a code span."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from line.split("&&")
    yield from re.findall(r"`(tuner [^`\n]+)`", FENCE.sub("", text_of(page)))


def words_of(line: str) -> list[str]:
    """Return the arguments that a line gives to tuner, none if it runs something else."""
    words = shlex.split(line, comments=True)
    if not words or words[0].rpartition("/")[2] != "tuner":
        return []
    return words[1:]


@pages
def test_commands_are_ones_that_tuner_takes(page: Path) -> None:
    for words in filter(None, map(words_of, command_lines(page))):
        if words[0].startswith("--"):
            assert words[0] in ("--help", "--version", "--install-completion")
        elif words[0] != "COMMAND" and "--help" not in words:
            name, arguments = words[0], words[1:]
            assert name in COMMANDS, words
            alone = not arguments or arguments[0].startswith("--")  # a command in running text
            COMMANDS[name].make_context(name, arguments, resilient_parsing=alone)


def test_wrong_commands_are_found() -> None:
    with pytest.raises(typer.TyperException):
        COMMANDS["search"].make_context("search", ["--tirals", "3"])
    assert words_of(". .venv/bin/activate") == []
    assert words_of(".venv/bin/tuner status  # all") == ["status"]


@pages
def test_python_compiles_and_its_names_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            check(node)


def check(node: ast.AST) -> None:
    """Check an import, and what is called of the package: its name and keywords."""
    if isinstance(node, ast.Import):
        assert all(importlib.util.find_spec(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = importlib.import_module(str(node.module))
        assert all(hasattr(module, alias.name) for alias in node.names)
    elif isinstance(node, ast.Attribute) and is_tuner(node.value):
        assert node.attr in tuner.__all__, node.attr
    elif isinstance(node, ast.Call) and is_tuner(getattr(node.func, "value", None)):
        keywords: dict[str, Any] = {str(keyword.arg): None for keyword in node.keywords}
        called = getattr(tuner, node.func.attr)  # type: ignore[attr-defined]
        inspect.signature(called).bind_partial(*node.args, **keywords)


def is_tuner(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Name) and node.id == "tuner"


def test_the_table_of_methods_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["methods", "--markdown"]) == 0
    assert capsys.readouterr().out.strip() in text_of(DOCS / "methods.md")


@pytest.mark.parametrize(
    ("option", "page"), [("--readme", ROOT / "README.md"), ("--show", DOCS / "figures.md")]
)
def test_accuracies_are_those_that_are_stored(
    option: str, page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.benchmarks import tables

    monkeypatch.setattr(sys, "argv", ["tables", option])
    tables.main()
    assert f"\n\n{capsys.readouterr().out}\n" in text_of(page)


def test_every_method_is_counted() -> None:
    from tuner.methods import catalog

    assert f"the {len(catalog.names())} methods" in text_of(ROOT / "README.md")


def test_every_page_has_a_place_in_the_site() -> None:
    nav = yaml.safe_load(text_of(DOCS / "mkdocs.yml").partition("\nnav:")[2].partition("\n\n")[0])
    names = {name for part in nav for name in leaves(part)}
    assert {page.name for page in DOCS.glob("*.md")} <= names
    assert {f"{page.stem}.md" for page in DOCS.glob("*.ipynb")} <= names


def leaves(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from leaves(inner)
    else:
        yield part


def test_the_reference_has_every_command_and_option() -> None:
    spec = importlib.util.spec_from_file_location("commands", DOCS / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sections = re.split(r"^## tuner ", module.reference(), flags=re.M)[1:]
    found = {section.partition("\n")[0]: section for section in sections}
    assert list(found) == list(COMMANDS)
    for name, command in COMMANDS.items():
        for parameter in command.params:
            options = parameter.opts if parameter.param_type_name == "option" else ()
            assert [o for o in options if f"`{o}`" not in found[name]] == []
            assert parameter.help
    assert "<!-- commands -->" in text_of(DOCS / "command-line.md")


def test_public_names_are_in_the_reference() -> None:
    text = text_of(DOCS / "api.md")
    assert [name for name in tuner.__all__ if f"::: tuner.{name}\n" not in text] == []


def test_exit_codes_of_errors_are_explained() -> None:
    text = text_of(DOCS / "faults.md")
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.TunerError)}
    assert [code for code in codes if f"| {code} |" not in text] == []


def test_errors_are_listed_with_their_exit_codes() -> None:
    text = text_of(DOCS / "api.md")
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.InterruptedSearchError):
            assert f"| `{name}` | 128 + the signal |" in text
        elif inspect.isclass(kind) and issubclass(kind, errors.TunerError):
            assert f"| `{name}` | {kind.exit_code} |" in text
