"""The project as a package: built, installed without its checkout, and used from the start on.

The new environment finds the dependencies in the running one, and tuner in the wheel alone.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("tuner", "models", "search_spaces", "pyproject.toml", "README.md", "LICENSE")
METHODS = {path.stem for path in (ROOT / "search_spaces").glob("*.yaml")}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Command = Callable[..., str]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist from a copy of the sources and a wheel from the sdist, in one folder."""
    source = tmp_path_factory.mktemp("source")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    made = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", "dist", "."],
        cwd=source,
        capture_output=True,
        text=True,
        env=_without_checkout(),
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("tuner-*.whl")
    return found


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Return a function that runs a program of an environment with the wheel, in a folder."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    # a line of a .pth file adds a folder, but not what .pth files in it add, such as a checkout
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others))

    def call(program: str, *arguments: str, folder: Path, **variables: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / program), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            env=_without_checkout() | variables,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
        env=_without_checkout(),
    )
    return call


@pytest.fixture(scope="module")
def searched(run: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a search in a new folder, and return it."""
    folder = tmp_path_factory.mktemp("work")
    flags = ("--method", "kmeans", "--trials", "4", "--workers", "1", "--name", "packaged")
    out = run("tuner", "search", *flags, "--set", "n_components=10", folder=folder)
    assert "digits version 1" in out
    return folder


def test_the_wheel_has_all_data_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "tuner/py.typed" in names
    assert {f"tuner/search_spaces/{name}.yaml" for name in METHODS} <= names
    assert {f"tuner/reports/search_page/page.{kind}" for kind in ("css", "html.j2")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith(("tuner/", "tuner-"))]


def test_the_sdist_has_what_the_links_point_to(dist: Path) -> None:
    (sdist,) = dist.glob("tuner-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "tuner/py.typed"} <= names
    assert {f"tuner/search_spaces/{name}.yaml" for name in METHODS} <= names


def test_everything_comes_from_the_wheel(run: Command, tmp_path: Path) -> None:
    code = (
        "import sys, tuner, tuner.cli.app, tuner.models.gmvae as m; print(sys.prefix); "
        "print(*{x.__file__ for n, x in sys.modules.items() if n.split('.')[0] == 'tuner' "
        "and getattr(x, '__file__', None)}, sep='\\n')"
    )
    prefix, *files = run("python", "-c", code, folder=tmp_path).splitlines()
    assert len(files) > 5
    assert [file for file in files if not file.startswith(prefix)] == []


def test_commands_answer(run: Command, tmp_path: Path) -> None:
    assert run("tuner", "--version", folder=tmp_path) == "tuner 0.1.0\n"
    listed = run("tuner", "methods", folder=tmp_path)
    assert {line.split()[0] for line in listed.splitlines()} >= METHODS


def test_a_search_runs_and_reports(run: Command, searched: Path) -> None:
    run("tuner", "report", "packaged", "--out", "page.html", folder=searched)
    page = (searched / "page.html").read_text(encoding="utf-8")
    assert "<h1>Search packaged" in page


def test_the_champion_loads_in_another_folder(
    run: Command, searched: Path, tmp_path: Path
) -> None:
    code = (
        "import tuner, sklearn.datasets as d; "
        "print(*tuner.load('models:/digits@champion').predict(d.load_digits().images[:5]))"
    )
    uri = f"sqlite:///{searched / 'mlflow.db'}"
    clusters = run("python", "-c", code, folder=tmp_path, MLFLOW_TRACKING_URI=uri).split()
    assert len(clusters) == 5
    assert {int(cluster) for cluster in clusters} <= set(range(10))


def _without_checkout() -> dict[str, str]:
    own = {"PYTHONPATH", "MLFLOW_TRACKING_URI", "TUNER_STORAGE", "COLUMNS", "RAY_ADDRESS"}
    return {name: value for name, value in os.environ.items() if name not in own}
