"""The conformance suite: does a method keep the contract of `tuner.methods.contract`?

`check_method("NAME")` runs every check that the method's capabilities ask for, on its `tiny`
preset and with each setting that leaves another clusterer, and raises AssertionError with a
sentence at the first that fails. `checks(subject)` gives them one by one for a test framework:
each takes a `Subject` and has a sentence as its docstring.
"""

from .subject import Subject
from .suite import CHECKS, Check, check_method, checks

__all__ = ["CHECKS", "Check", "Subject", "check_method", "checks"]
