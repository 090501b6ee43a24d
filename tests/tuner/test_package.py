import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.specifiers import SpecifierSet

from tests.deploy.manifests import locked


def output_of(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_functions_are_those_of_their_modules():
    words = output_of(
        "import tuner, tuner.orchestration.search as module\n"
        "print(tuner.search is module.search, tuner.load.__name__)"
    )
    assert words == ["True", "load"]


def test_public_names():
    assert output_of(
        "import tuner; print(*tuner.__all__); print({*tuner.__all__} <= {*dir(tuner)})"
    ) == [
        "Champion",
        "Model",
        "Preparation",
        "Result",
        "Study",
        "load",
        "resume",
        "search",
        "True",
    ]


def test_an_unknown_name_is_an_attribute_error():
    import tuner

    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        tuner.serch  # noqa: B018


def test_study_and_load_are_those_of_their_modules():
    import tuner
    from tuner.registry import load
    from tuner.study.study import Study

    assert tuner.Study is Study
    assert tuner.load is load


def test_no_locked_version_needs_a_later_python_than_the_project():
    least = re.fullmatch(r">=(\d+\.\d+)", metadata("tuner")["Requires-Python"])
    needs = {
        name: metadata(name).get("Requires-Python") for name in locked() if is_installed(name)
    }
    assert len(needs) > 100
    assert {
        name: python
        for name, python in needs.items()
        if python and f"{least[1]}.0" not in SpecifierSet(python)
    } == {}


def is_installed(name):
    try:
        return bool(metadata(name))
    except PackageNotFoundError:
        return False
