"""Checks of a pretraining stage whose network can be shared between trials."""

import dataclasses
from typing import Any

import torch

from ..methods.config import Config, Scalar
from ..methods.contract import Pretrains, State
from .subject import Subject, same_value, saved_and_loaded


def a_shared_network_gives_the_same_result(subject: Subject) -> None:
    """A training that loads the pretrained network of another one ends with the same result."""
    other, result = subject.fresh(), _pretrained(subject, subject.short)
    assert isinstance(other, Pretrains)
    other.pretraining.load(saved_and_loaded(result))
    reports = list(other.fit(subject.x))
    assert reports, "No training is left after loading a pretrained network."
    assert reports[-1].clusters, "Training with a loaded network ends without clusters."
    count = len(subject.trained[1])
    assert len(reports) < count, "Pretraining is repeated after loading a pretrained network."
    same = torch.equal(other.predict_log_proba(subject.x), subject.log_proba)
    assert same, "A loaded pretrained network gives another result than its own pretraining."


def pretraining_depends_only_on_its_settings(subject: Subject) -> None:
    """Settings outside of `Config.pretraining` do not affect the pretrained network."""
    method = subject.fresh()
    assert isinstance(method, Pretrains)
    named, base = subject.short.pretraining, _pretrained(subject, subject.short)
    assert named, "Config.pretraining is empty: name the settings that pretraining depends on."
    for f in dataclasses.fields(subject.short):
        if f.name not in named:
            changed: dict[str, Any] = {f.name: _changed(f, getattr(subject.short, f.name))}
            config = dataclasses.replace(subject.short, **changed)
            result = _pretrained(subject, config)
            same = all(same_value(value, base.get(name)) for name, value in result.items())
            assert same, f"Pretraining depends on {f.name}: add it to Config.pretraining."


def _pretrained(subject: Subject, config: Config) -> State:
    method = subject.fresh(config=config)
    assert isinstance(method, Pretrains)
    for _ in method.fit(subject.x):
        result = method.pretraining.result()
        if result is not None:
            return result
    raise AssertionError("Pretraining.result() is None after every pass.")


def _changed(f: "dataclasses.Field[Any]", value: Scalar) -> Scalar:
    """Return another valid value for the field."""
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
