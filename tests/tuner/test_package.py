import subprocess
import sys

import pytest


def ran(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("first", ["tuner.search", "from tuner.search import resume", "pass"])
def test_the_function_search_is_not_hidden_by_its_module(first):
    code = f"import tuner\nimport tuner.study\n{'import ' if '.' in first[:7] else ''}{first}\n"
    told = ran(
        f"{code}print(callable(tuner.search), tuner.search.__name__)\n"
        "import tuner.search\nprint(callable(tuner.search), type(tuner.search).__name__)\n"
        "from tuner.search import Session\nprint(Session.__name__)"
    )
    assert told == ["True", "search", "True", "function", "Session"]


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
    from tuner.study import Study

    assert tuner.Study is Study
    assert tuner.load is load
