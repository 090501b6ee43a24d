import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.tuner.fitted import fitted_model, raw_points
from tuner.methods import catalog
from tuner.registry import code_bundle

SEARCH = ("optuna", "ray", "mlflow", "matplotlib", "yaml", "pydantic")


def staged(method, folder):
    package = code_bundle.copy_source(method, folder)
    return package, {
        path.relative_to(folder / package).as_posix(): path for path in folder.rglob("*.py")
    }


@pytest.mark.parametrize("method", catalog.names())
def test_a_method_copies_only_the_files_it_needs(method, tmp_path):
    package, files = staged(method, tmp_path)
    assert {
        "__init__.py",
        "training/saved_model.py",
        "methods/contract.py",
        "models/__init__.py",
    } <= files.keys()
    methods = [name for name in files if name.startswith("models/") and "/_" not in name]
    assert {f"models/{method}.py", f"models/{method}/method.py"} & {*methods}
    bare = {"__init__.py", "data/__init__.py", "methods/__init__.py", "training/__init__.py"}
    assert {files[name].read_text() for name in bare} == {'"""Part of a registered model."""\n'}
    for path in files.values():
        assert not any(f"import {name}" in path.read_text() for name in SEARCH)
    assert package.startswith("tuner_model_")


def test_the_name_of_the_package_depends_on_its_content(tmp_path):
    first, _ = staged("kmeans", tmp_path / "a")
    assert staged("kmeans", tmp_path / "b")[0] == first
    assert staged("gmm", tmp_path / "c")[0] != first


@pytest.mark.parametrize("method", catalog.names())
def test_requirements_are_those_of_every_model_and_those_of_the_method(method):
    needed = code_bundle.pip_requirements(method)
    flows = ["zuko"] if method == "em_flow" else []
    assert [line.split(">=")[0] for line in needed if "scikit-learn" not in line] == [
        "mlflow",
        "numpy",
        "pandas",
        "safetensors",
        "torch",
        *flows,
    ]
    assert all(">=" in line for line in needed)


def test_a_method_of_another_distribution_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "distribution", lambda method: "numpy")
    assert code_bundle.copy_source("elsewhere", tmp_path) == "tuner"
    assert list(tmp_path.iterdir()) == []
    assert code_bundle.pip_requirements("elsewhere")[1] == f"numpy=={np.__version__}"


@pytest.mark.slow
def test_a_model_loads_where_tuner_is_not_installed(tmp_path):
    model = fitted_model("kmeans")
    model.save(tmp_path / "model")
    package = code_bundle.copy_source("kmeans", tmp_path / "code")
    for name in ("models", "tuner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    np.save(tmp_path / "raw.npy", raw_points())
    program = f"""
        import sys, numpy as np
        sys.path.insert(0, "code")
        sys.meta_path = [f for f in sys.meta_path if "editable" not in str(f)]
        from {package}.training.saved_model import Model
        print(*Model.load("model").predict(np.load("raw.npy")))
        assert not {{"tuner", "models", "mlflow"}} & sys.modules.keys()
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [str(k) for k in model.predict(raw_points())]
