"""Where frameworks may be imported, and what importing a part may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.methods import catalog

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    {page.resolve() for page in (ROOT / "tuner").rglob("*.py")}
    | set((ROOT / "models").rglob("*.py"))
)
RIM = {
    "ray": ("tuner/execution/",),
    "optuna": ("tuner/ledger/", "tuner/study/space.py"),
    "mlflow": ("tuner/tracking/", "tuner/registry/"),
    "typer": ("tuner/cli/",),
    "zuko": ("models/em_flow/",),
}


def imported(page: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(page.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)


@pytest.mark.parametrize("framework", RIM)
def test_a_framework_is_imported_at_the_rim_alone(framework: str) -> None:
    found = {
        page.relative_to(ROOT).as_posix()
        for page in PAGES
        if any(name.split(".")[0] == framework for name in imported(page))
    }
    assert found, f"nothing imports {framework}, so this test sees nothing"
    assert not [page for page in found if not page.startswith(RIM[framework])]


def test_nothing_imports_the_folders_behind_the_links() -> None:
    pages = [*PAGES, *(ROOT / "tests").rglob("*.py")]
    for page in pages:
        tops = {name.split(".")[0] for name in imported(page)}
        assert not tops & {"models", "search_spaces"}, f"{page} imports past the package"


def test_the_links_are_relative() -> None:
    for name in ("models", "search_spaces"):
        assert (ROOT / "tuner" / name).readlink() == Path("..") / name


@pytest.mark.parametrize("name", catalog.names())
def test_a_method_needs_none_of_the_frameworks(name: str) -> None:
    code = (
        f"import sys, tuner.models.{name}; "
        "print(*({'ray', 'optuna', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_pages_stay_short() -> None:
    long = {page.name: n for page in PAGES if (n := len(page.read_text().splitlines())) > 400}
    assert not long
