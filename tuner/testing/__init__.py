"""Conformance checks for implementations of `tuner.methods.contract`.

`check_method("NAME")` runs every check for the method's capabilities with its preset `tiny`, and
again with each boolean setting in `clusterer_with` on. The first check that fails raises an
AssertionError with a sentence that explains what is wrong. `checks(subject)` returns the checks
one by one for a test framework. Each takes a `Subject`, and its name and docstring say what must
hold.

May import training and the layers below it.
"""

from .subject import Subject
from .suite import CHECKS, Check, check_method, checks

__all__ = ["CHECKS", "Check", "Subject", "check_method", "checks"]
