"""Every method passes all checks that its capabilities require."""

import pytest

from tuner.methods import catalog
from tuner.testing import Check, Subject, checks

SUBJECTS = {key: s for name in catalog.names() for key, s in Subject.variants_of(name).items()}
CASES = [(key, check) for key, subject in SUBJECTS.items() for check in checks(subject)]


@pytest.mark.parametrize(
    ("key", "check"), CASES, ids=[f"{key}-{check.__name__}" for key, check in CASES]
)
def test_conformance(key: str, check: Check) -> None:
    check(SUBJECTS[key])
