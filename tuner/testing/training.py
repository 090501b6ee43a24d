"""Checks of configurations and training: schedules, reports, seeds, resuming, gradients."""

import dataclasses
import inspect
import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..methods.config import Config
from ..methods.contract import Trains
from .subject import SEEDS, TOLERANCE, Subject, distance, same_value, saved_and_loaded

UNSEEDED = torch.Generator().initial_seed()  # the default seed of torch


def config_survives_a_json_round_trip(subject: Subject) -> None:
    """A Config is frozen, and equals the one rebuilt from its mapping as JSON."""
    config = subject.config
    mapping = json.loads(json.dumps(config.to_mapping()))
    loaded = type(config).from_mapping(mapping)
    assert loaded == config, f"{config} becomes {loaded} when rebuilt from its mapping."
    assert hash(loaded) == hash(config), "Equal configurations have different hashes."
    try:
        config.n_components = config.n_components  # type: ignore[misc]
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError(f"{type(config).__name__} is mutable: declare it frozen.")


def capping_shortens_training(subject: Subject) -> None:
    """capped(e) plans at most e passes, and training capped at three passes yields clusters."""
    config = subject.config
    for epochs in (1, 2, 3):
        passes = config.capped(epochs).passes
        assert passes <= epochs, f"capped({epochs}) plans {passes} passes: plan at most {epochs}."
    passes = config.capped(config.passes).passes
    assert passes == config.passes, f"capped({config.passes}) plans only {passes} passes."
    reports = list(subject.fresh(config=config.capped(3)).fit(subject.x))
    assert reports, "Training with three passes yields no report."
    assert reports[-1].epoch <= 3, f"Training capped at 3 passes makes {reports[-1].epoch}."
    assert reports[-1].clusters, "Training with three passes ends without clusters."


def reports_are_well_formed(subject: Subject) -> None:
    """Reports count epochs from 1, name a stage, and have one value per metric and replica."""
    reports, planned = subject.trained[1], subject.short.passes
    epochs = [report.epoch for report in reports]
    assert epochs == list(range(1, len(epochs) + 1)), f"The epochs are {epochs}: count up from 1."
    assert 1 <= len(epochs) <= planned, f"{planned} passes yield {len(epochs)} reports."
    for report in reports:
        assert report.stage, f"The report of epoch {report.epoch} names no stage."
        assert report.metrics, f"The report of epoch {report.epoch} has no metrics."
        for name, value in report.metrics.items():
            found = tuple(value.shape)
            assert found == (len(SEEDS),), f"The metric {name} has shape {found} instead of (R,)."
            assert not value.requires_grad, f"The metric {name} requires a gradient: detach it."
            assert "/" not in name, f"The metric {name} contains a slash: remove its prefix."


def metric_info_describes_reported_metrics(subject: Subject) -> None:
    """metric_info() describes metrics that are reported, and its levels are finite."""
    reported = {name for report in subject.trained[1] for name in report.metrics}
    names = ", ".join(sorted(reported))
    for name, info in subject.short.metric_info().items():
        assert name in reported, f"metric_info() describes {name!r}, but reports have {names}."
        infinite = [key for key, level in info.levels.items() if not math.isfinite(level)]
        assert not infinite, f"The level {infinite[0]!r} of {name!r} is not finite."


def fit_takes_only_points_and_leaves_them_unchanged(subject: Subject) -> None:
    """fit takes x only, so that no labels can be passed, and does not change it."""
    names = list(inspect.signature(subject.method.fit).parameters)
    assert names == ["self", "x"], f"fit takes {', '.join(names)}: let it take only x."
    x = subject.x.clone()
    subject.fitted(x)
    assert torch.equal(x, subject.x), "fit changes the points that it is given: work on a copy."


def global_random_state_is_unchanged(subject: Subject) -> None:
    """Training and predicting do not change the random states of torch, NumPy and Python."""
    before = _global_random_states()
    method = subject.fresh()
    _require_unchanged(before, "The constructor")
    for report in method.fit(subject.x):
        _require_unchanged(before, f"fit in stage {report.stage}")
    method.predict_log_proba(subject.x)
    _require_unchanged(before, "predict_log_proba")
    clusterer = method.clusterers()[0]
    kind = subject.method.clusterer_of(subject.short)
    kind(subject.short, (4,), clusterer.weights(), device=subject.device)
    _require_unchanged(before, "Building a clusterer")
    clusterer.predict(subject.x)
    clusterer.embed(subject.x)
    _require_unchanged(before, "A clusterer's prediction")


def any_number_of_points_works(subject: Subject) -> None:
    """Training works if the batch size does not divide the number of points or exceeds it."""
    for n in (97, 31):
        log_proba = subject.fitted(subject.noise[:n]).predict_log_proba(subject.noise[:n])
        assert bool(log_proba.isfinite().all()), f"Predictions are not finite with {n} points."


def a_constant_feature_is_harmless(subject: Subject) -> None:
    """Metrics and predictions are finite if a feature is the same for all points."""
    for value in (0.0, 1.0):
        x = subject.x.clone()
        x[:, 1] = value
        method = subject.fresh()
        for report in method.fit(x):
            for name, metric in report.metrics.items():
                finite = bool(metric.isfinite().all())
                assert finite, f"{name} is not finite with a feature constant at {value}."
        finite = bool(method.predict_log_proba(x).isfinite().all())
        assert finite, f"Predictions are not finite with a feature constant at {value}."


def points_can_have_any_shape(subject: Subject) -> None:
    """Training works with points of any shape, here (2, 2)."""
    x = subject.x.unflatten(1, (2, 2))
    shape = tuple(subject.fitted(x).predict_log_proba(x).shape)
    expected = tuple(subject.log_proba.shape)
    assert shape == expected, f"Predictions of points (2, 2) have shape {shape}, not {expected}."


def intermediate_results_do_not_affect_training(subject: Subject) -> None:
    """States, predictions and clusterers requested during training do not affect its result."""
    method = subject.fresh()
    for report in method.fit(subject.x):
        method.state()
        if report.clusters:
            method.predict_log_proba(subject.x)
            method.clusterers()[0].predict(subject.x)
    same = torch.equal(method.predict_log_proba(subject.x), subject.log_proba)
    assert same, "Requesting states and predictions during training changes its result."


def training_resumes_exactly(subject: Subject) -> None:
    """Training resumed from the saved state of any report ends with the same result."""
    reports = subject.trained[1]
    for stop, reached in enumerate(reports, start=1):
        method = subject.fresh()
        for _ in zip(range(stop), method.fit(subject.x), strict=False):
            state = method.state()
        other = subject.fresh()
        other.restore(saved_and_loaded(state))
        rest = list(other.fit(subject.x))
        resumed = f"Resumed after epoch {reached.epoch} ({reached.stage})"
        epochs = [report.epoch for report in rest]
        expected = [report.epoch for report in reports[stop:]]
        assert epochs == expected, f"{resumed}, training reports epochs {epochs}, not {expected}."
        for one, two in zip(rest, reports[stop:], strict=True):
            for name, value in two.metrics.items():
                same = same_value(one.metrics[name], value)
                assert same, f"{resumed}, {name} differs at epoch {two.epoch}."
        same = torch.equal(other.predict_log_proba(subject.x), subject.log_proba)
        assert same, f"{resumed}, training ends with different predictions."


def a_state_is_a_copy(subject: Subject) -> None:
    """A state does not change when training continues."""
    method = subject.fresh()
    training = method.fit(subject.x)
    next(training)
    state = method.state()
    copy = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
    for _ in training:
        pass
    for name, value in copy.items():
        same = same_value(value, state[name])
        assert same, f"{name} in a state changes as training continues: copy it in state()."


def weights_exist_before_training(subject: Subject) -> None:
    """Weights have the same names, shapes and types before and after training."""
    start, end = (
        {name: (tuple(t.shape), t.dtype) for name, t in clusterer.weights().items()}
        for clusterer in (subject.fresh().clusterers()[0], subject.clusterers[0])
    )
    for name in sorted(start.keys() | end.keys()):
        before, after = start.get(name, "absent"), end.get(name, "absent")
        assert before == after, f"The weight {name} is {before} before training, {after} after it."


def replicas_are_independent(subject: Subject) -> None:
    """A replica trained with others equals the same seed trained alone, over five passes."""
    x, config = subject.x[:60], subject.config.capped(5)
    together = subject.fresh(config=config)
    reports = list(together.fit(x))
    log_proba = together.predict_log_proba(x)
    for r, seed in enumerate(SEEDS):
        alone = subject.fresh((seed,), config=config)
        for joint, single in zip(reports, alone.fit(x), strict=True):
            for name, value in single.metrics.items():
                gap = distance(value, joint.metrics[name][[r]])
                assert gap < TOLERANCE, (
                    f"{name} of seed {seed} at epoch {single.epoch} differs between training "
                    f"alone and with other replicas, by {gap:.1e}."
                )
        gap = distance(alone.predict_log_proba(x), log_proba[[r]])
        assert gap < 10 * TOLERANCE, (
            f"Predictions of seed {seed} differ between training alone and with other "
            f"replicas, by {gap:.1e}."
        )


def the_seed_determines_the_result(subject: Subject) -> None:
    """Equal seeds give equal results and different seeds different ones, seed 0 included."""
    config = dataclasses.replace(subject.short, n_components=8)
    results = _seeded(subject, (0, 1, UNSEEDED), config)
    with _other_global_random_state():
        repeated = _seeded(subject, (0, 1, UNSEEDED), config)
    assert torch.equal(results, repeated), "The same seeds give another result the second time."
    zero, one, unseeded = results
    assert not torch.equal(zero, one), "Seeds 0 and 1 give the same result."
    assert not torch.equal(zero, unseeded), "Seed 0 is treated like no seed."


def gradients_reach_every_parameter(subject: Subject) -> None:
    """Every parameter of every replica receives a gradient and is updated."""
    method = subject.fresh()
    assert isinstance(method, Trains)
    start = {name: p.detach().clone() for name, p in method.parameters()}
    assert start, "parameters() yields nothing."
    reached = {name: torch.zeros(len(SEEDS), dtype=torch.bool) for name in start}
    for _ in method.fit(subject.x):
        for name, parameter in method.parameters():
            if parameter.grad is not None:
                reached[name] |= _by_replica(parameter.grad != 0)
    for name, parameter in method.parameters():
        assert bool(reached[name].all()), f"{name} receives no gradient in at least one replica."
        moved = _by_replica(parameter.detach() != start[name])
        assert bool(moved.all()), f"{name} is not updated: pass it to the optimiser."


def divergence_does_not_raise(subject: Subject) -> None:
    """Training with far too large learning rates completes and predicts without an exception."""
    rates: dict[str, Any] = {
        f.name: min(1e6, f.metadata["high"] or 1e6)
        for f in dataclasses.fields(subject.short)
        if f.name.endswith("learning_rate")
    }
    config = dataclasses.replace(subject.short, **rates)
    try:
        log_proba = subject.fitted(subject.x, config=config).predict_log_proba(subject.x)
    except Exception as error:
        raise AssertionError(
            f"Diverging training raises {type(error).__name__} ({error}): report the loss instead."
        ) from error
    shape, expected = tuple(log_proba.shape), tuple(subject.log_proba.shape)
    assert shape == expected, f"Diverged predictions have shape {shape} instead of {expected}."


def _seeded(subject: Subject, seeds: Sequence[int], config: Config) -> Tensor:
    return subject.fitted(subject.noise, seeds, config=config).predict_log_proba(subject.noise)


def _by_replica(condition: Tensor) -> Tensor:
    """Return per replica whether a condition on a stacked tensor (R·m, …) holds anywhere."""
    return condition.reshape(len(SEEDS), -1).any(dim=1).cpu()


def _global_random_states() -> dict[str, object]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  the global state is what is checked
    numpy_state = (kind, np.asarray(keys).tobytes(), *rest)
    torch_state = torch.get_rng_state().numpy().tobytes()
    return {"torch": torch_state, "NumPy": numpy_state, "Python": random.getstate()}


def _require_unchanged(before: dict[str, object], who: str) -> None:
    for library, state in _global_random_states().items():
        assert state == before[library], f"{who} changes the global random state of {library}."


@contextmanager
def _other_global_random_state() -> Iterator[None]:
    """Set other global random states, and restore them at the end."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        np.random.seed(12345)  # noqa: NPY002
        random.seed(12345)
        yield
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)
