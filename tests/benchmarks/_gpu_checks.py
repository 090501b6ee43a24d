"""The conformance of methods on a device, and how exactly recorded steps repeat called ones."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby
from unittest.mock import patch

from tests.benchmarks._gpu_bench import Bench
from tests.benchmarks._gpu_results import Case, Facts, silent
from tuner.methods import catalog
from tuner.methods.contract import Trains
from tuner.testing import Check, Subject, checks, recording

FIRST = (
    "training_resumes_exactly",
    "replicas_are_independent",
    "intermediate_results_do_not_affect_training",
    "the_seed_determines_the_result",
    "any_number_of_points_works",
    "gradients_reach_every_parameter",
    "a_shared_network_gives_the_same_result",
    "separated_blobs_are_found",
    "divergence_does_not_raise",
)
"""The checks that depend most on how steps are taken. The others follow in their own order."""

_RECORDED = "recorded_steps_equal_called_ones"


def exactness_cases(bench: Bench) -> list[Case]:
    """Return comparisons of recorded with called steps, for every method that trains."""
    return _per_subject(
        bench,
        "exactness",
        lambda key, subject: [
            Case(f"exactness/{key}", partial(_gap, subject), lambda found: found["text"])
        ],
    )


def conformance_cases(bench: Bench) -> list[Case]:
    """Return all checks of all methods and variants; on the CPU one check of two methods.

    A check is made of all subjects before the next one. The last of them says that it is done.
    """
    cases = _per_subject(bench, "conformance", _checks, training=not bench.on_gpu)
    if not bench.on_gpu:
        cases = [case for case in cases if _name(case) == _RECORDED][:2]
    found: list[Case] = []
    for _, group in groupby(sorted(cases, key=_order), _name):
        *others, last = group
        found += [*others, replace(last, text=partial(_done, len(others) + 1))]
    return found


def _per_subject(
    bench: Bench,
    part: str,
    cases: Callable[[str, Subject], list[Case]],
    *,
    training: bool = True,
) -> list[Case]:
    """Return the cases of all subjects, or one that fails where a method cannot be imported."""
    found: list[Case] = []
    for name in bench.methods:
        try:
            if training and not issubclass(catalog.method(name), Trains):
                continue
            for key, subject in Subject.variants_of(name, device=bench.device).items():
                found += cases(key, subject)
        except Exception as error:
            found.append(Case(f"{part}/{name}", partial(_raise, error), silent))
    return found


def _checks(key: str, subject: Subject) -> list[Case]:
    return [
        Case(f"conformance/{check.__name__}/{key}", partial(_check, check, subject), silent)
        for check in checks(subject)
    ]


def _check(check: Check, subject: Subject) -> Facts:
    check(subject)
    return {}


def _done(subjects: int, found: Facts) -> str:
    del found
    return f"the last of {subjects}"


def _name(case: Case) -> str:
    return case.key.split("/")[1]


def _order(case: Case) -> tuple[int, str]:
    """Return the key to sort by: the most telling checks first, what exactness shows last."""
    name = _name(case)
    return FIRST.index(name) if name in FIRST else len(FIRST) + (name == _RECORDED), name


def _gap(subject: Subject) -> Facts:
    """Return the largest gap between recorded and called steps, and the metric that has it.

    If there is one, also that between two trainings with called steps: a device may add up in
    another order every time.
    """
    gaps = recording.recording_gaps(subject, subject.x, subject.short)
    name = max(gaps, key=lambda metric: gaps[metric])
    found = {"gap": gaps[name], "metric": name}
    if gaps[name] == 0:
        return {**found, "text": "exact"}
    found["called_twice"] = _called_twice(subject)
    text = f"{gaps[name]:.1e} in {name} (called twice: {found['called_twice']:.1e})"
    return {**found, "gaps": gaps, "text": text}


def _called_twice(subject: Subject) -> float:
    """Return the largest gap between two trainings with called steps."""
    by_kind = recording.steps_recorded_by
    with patch.object(recording, "steps_recorded_by", lambda _, device: by_kind(None, device)):
        return max(recording.recording_gaps(subject, subject.x, subject.short).values())


def _raise(error: Exception) -> Facts:
    raise error
