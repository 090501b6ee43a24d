"""Checks of a pretraining: its network may change hands, and depends on what it says."""

import dataclasses
from typing import Any

import torch

from ..methods.config import Config, Scalar
from ..methods.contract import Pretrains, State
from .subject import Subject
from .training import equal, through_a_file


def a_network_taken_over_equals_the_own(subject: Subject) -> None:
    """A training that takes over what another pretrained ends as if it had done so itself."""
    other, result = subject.fresh(), _pretrained(subject, subject.short)
    assert isinstance(other, Pretrains)
    other.pretraining.take(through_a_file(result))
    reports = list(other.fit(subject.x))
    assert reports, "After taking over a network nothing is left to train."
    assert all(r.clusters for r in reports[-1:]), "The last report has no clusters."
    count = len(subject.trained[1])
    assert len(reports) < count, "A training makes the passes of the network it took over again."
    same = torch.equal(other.predict_log_proba(subject.x), subject.answer)
    assert same, "A training with a network taken over ends elsewhere than with its own."


def pretraining_depends_on_its_settings_alone(subject: Subject) -> None:
    """Settings that pretraining does not name change nothing of what it leaves."""
    method = subject.fresh()
    assert isinstance(method, Pretrains)
    named, base = subject.short.pretraining, _pretrained(subject, subject.short)
    assert named, "The Config does not say what its pretrained network depends on."
    for f in dataclasses.fields(subject.short):
        if f.name not in named:
            changed: dict[str, Any] = {f.name: _changed(f, getattr(subject.short, f.name))}
            config = dataclasses.replace(subject.short, **changed)
            result = _pretrained(subject, config)
            same = all(equal(value, base.get(name)) for name, value in result.items())
            assert same, f"Pretraining depends on {f.name}: name it in Config.pretraining."


def _pretrained(subject: Subject, config: Config) -> State:
    method = subject.fresh(config=config)
    assert isinstance(method, Pretrains)
    for _ in method.fit(subject.x):
        result = method.pretraining.result()
        if result is not None:
            return result
    raise AssertionError("Pretraining never says that it is done.")


def _changed(f: "dataclasses.Field[Any]", value: Scalar) -> Scalar:
    """Return another value that the field allows."""
    low, high, choices = (f.metadata[key] for key in ("low", "high", "choices"))
    if choices:
        other: Scalar = next(choice for choice in choices if choice != value)
        return other
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if high is None or value + 1 <= high else value - 1
    assert isinstance(value, float), f"{f.name} is a {type(value).__name__} without choices."
    return value / 2 if value > 0 and (low is None or value / 2 >= low) else high or 1.0
