"""Every conformance check passes for a correct method and fails for a broken one."""

import pytest

from tuner.errors import UsageError
from tuner.methods.contract import Method
from tuner.testing import CHECKS, Check, Subject, check_method, checks

from .broken import BROKEN
from .toy import Toy, ToyConfig

ALL = {check.__name__: check for required in CHECKS.values() for check in required}
CORRECT = Subject(Toy, ToyConfig(n_components=3))


@pytest.mark.parametrize("check", checks(CORRECT), ids=lambda check: check.__name__)
def test_a_correct_method_passes(check: Check) -> None:
    check(CORRECT)


@pytest.mark.parametrize(("name", "method"), BROKEN, ids=[m.__name__ for _, m in BROKEN])
def test_a_broken_method_fails_with_a_sentence(name: str, method: type[Method]) -> None:
    subject = Subject(method, method.config_type(n_components=3))
    with pytest.raises(AssertionError) as raised:
        ALL[name](subject)
    message = str(raised.value)
    assert message.endswith(".")
    assert " " in message


def test_every_check_can_fail_and_has_a_docstring() -> None:
    assert set(ALL) == {name for name, _ in BROKEN}
    assert all(check.__doc__ and check.__doc__.endswith(".") for check in ALL.values())


def test_checks_depend_on_the_capabilities_of_a_method() -> None:
    kmeans = {check.__name__ for check in checks(Subject.of("kmeans"))}
    assert "gradients_reach_every_parameter" not in kmeans
    assert "samples_depend_only_on_cluster_and_seed" not in kmeans
    assert "the_seed_determines_the_result" in kmeans
    assert {check.__name__ for check in checks(CORRECT)} == set(ALL)


def test_what_only_a_setting_makes_possible_is_checked_with_it_on() -> None:
    subjects = Subject.variants_of("dec")
    names = {key: {check.__name__ for check in checks(s)} for key, s in subjects.items()}
    assert list(names) == ["dec", "dec-keep_decoder"]
    assert names["dec-keep_decoder"] - names["dec"] == {"reconstructions_have_the_shape_of_points"}


def test_check_method_takes_a_name() -> None:
    check_method("kmeans")
    with pytest.raises(UsageError, match="did you mean 'kmeans'"):
        check_method("kmean")
