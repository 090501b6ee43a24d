"""Every method keeps the contract: each check that its capabilities ask for, none left out."""

from functools import cache

import pytest

from tuner import catalog
from tuner.testing import Check, Subject, checks

CASES = [(name, check) for name in catalog.names() for check in checks(catalog.method(name))]


@cache
def subject(name: str) -> Subject:
    return Subject.of(name)


@pytest.mark.parametrize(
    ("name", "check"), CASES, ids=[f"{name}-{check.__name__}" for name, check in CASES]
)
def test_conformance(name: str, check: Check) -> None:
    check(subject(name))
