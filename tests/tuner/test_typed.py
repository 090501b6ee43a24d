"""A typed script that uses the package passes mypy --strict, as users have it installed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import pandas as pd

import tuner


def best_method(frame: pd.DataFrame) -> tuple[str, int]:
    study = tuner.Study(methods=("gmm",), dataset=frame, trials=5)
    result: tuner.Result = tuner.search(study, progress=False)
    champion = result.champion
    if champion is None:
        return result.trials()["method"][0], 0
    model: tuner.Model = champion.load()
    clusters = model.predict(frame)
    reveal_type(study)
    reveal_type(tuner.load(champion.uri))
    reveal_type(clusters)
    reveal_type(result.counts)
    return str(result.best["method"]), champion.n_components
"""
TYPES = (
    '"tuner.study.study.Study"',
    '"tuner.training.saved_model.Model"',
    "signedinteger",
    '"typing.Mapping[str, int]"',
)


# of these packages, whose own types take a minute to read, a script of this kind needs none
CONFIGURATION = """
[mypy]
strict = true

[mypy-torch.*,mlflow.*,ray.*,optuna.*,sqlalchemy.*,scipy.*,matplotlib.*,rich.*,pydantic.*,jinja2.*]
follow_imports = skip
"""


def checked(script: str, folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Return what mypy says of a script beside an installation of the package."""
    installed = folder / "installed"
    if not installed.exists():
        installed.mkdir()
        (installed / "tuner").symlink_to(ROOT / "tuner")
    (folder / "script.py").write_text(script, encoding="utf-8")
    (folder / "mypy.ini").write_text(CONFIGURATION, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", f"--cache-dir={cache}", "script.py"]
    variables = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_a_script_sees_the_types(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("mypy-of-scripts")
    done = checked(SCRIPT, tmp_path, cache)
    revealed = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(revealed) == len(TYPES)
    assert all(kind in line for kind, line in zip(TYPES, revealed, strict=True)), revealed
    wrong = checked(SCRIPT.replace("trials=5", "trials='5'"), tmp_path, cache)
    assert 'has incompatible type "str"; expected "int"' in wrong.stdout


def test_the_mark_of_types_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["tuner"]
    assert (ROOT / "tuner" / "py.typed").is_file()
