import subprocess
import sys

import pytest


def ran(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_functions_are_those_of_their_modules():
    told = ran(
        "import tuner, tuner.orchestration.search as module\n"
        "print(tuner.search is module.search, tuner.load.__name__)"
    )
    assert told == ["True", "load"]


def test_public_names_are_these():
    assert ran(
        "import tuner; print(*tuner.__all__); print({*tuner.__all__} <= {*dir(tuner)})"
    ) == [
        "Study",
        "load",
        "search",
        "True",
    ]


def test_a_name_that_is_not_there_is_an_attribute_error():
    import tuner

    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        tuner.serch  # noqa: B018


def test_study_and_load_are_those_of_their_modules():
    import tuner
    from tuner.registry import load
    from tuner.study.study import Study

    assert tuner.Study is Study
    assert tuner.load is load
