"""Checks of a configuration and of training: schedules, reports, seeds, resuming, gradients."""

import dataclasses
import inspect
import json
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..methods.config import Config
from ..methods.contract import State, Trains
from ..training import checkpoint
from .subject import CLOSE, SEEDS, Subject, distance

UNSEEDED = torch.Generator().initial_seed()  # what torch takes where no seed is given


def settings_survive_a_round_trip(subject: Subject) -> None:
    """A Config is frozen and comes back equal from its mapping, through JSON."""
    config = subject.config
    mapping = json.loads(json.dumps(config.to_mapping()))
    again = type(config).from_mapping(mapping)
    assert again == config, f"{config} comes back from its mapping as {again}."
    assert hash(again) == hash(config), "Equal configurations have unequal hashes."
    try:
        config.n_components = config.n_components  # type: ignore[misc]
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError(f"A {type(config).__name__} can be changed: declare it frozen.")


def capping_shortens_the_training(subject: Subject) -> None:
    """capped(e) makes at most e passes; three passes end with clusters; enough change nothing."""
    config = subject.config
    for epochs in (1, 2, 3):
        passes = config.capped(epochs).passes
        assert passes <= epochs, f"capped({epochs}) plans {passes} passes: plan at most {epochs}."
    whole = config.capped(config.passes).passes
    assert whole == config.passes, f"capped({config.passes}) plans only {whole} passes."
    reports = list(subject.fresh(config=config.capped(3)).fit(subject.x))
    assert reports, "A training of three passes makes no report."
    assert reports[-1].epoch <= 3, f"A training capped at 3 passes made {reports[-1].epoch}."
    assert reports[-1].clusters, "A training of three passes ends without clusters."


def reports_count_passes(subject: Subject) -> None:
    """Reports say epoch 1, 2, 3, …, their stage, and one number per metric and replica."""
    reports, planned = subject.trained[1], subject.short.passes
    epochs = [report.epoch for report in reports]
    assert epochs == list(range(1, len(epochs) + 1)), f"Epochs run {epochs}: count from 1 by 1."
    assert 1 <= len(epochs) <= planned, f"{len(epochs)} reports came from {planned} passes."
    for report in reports:
        assert report.stage, f"The report of epoch {report.epoch} names no stage."
        assert report.metrics, f"The report of epoch {report.epoch} has no metrics."
        for name, value in report.metrics.items():
            found = tuple(value.shape)
            assert found == (len(SEEDS),), f"The metric {name} has shape {found}, not (R,)."
            assert not value.requires_grad, f"The metric {name} carries a gradient: detach it."
            assert "/" not in name, f"The metric {name} has a prefix: leave that to tracking."


def curves_are_of_reported_metrics(subject: Subject) -> None:
    """What a configuration says of curves is said of metrics that are reported, levels finite."""
    reported = {name for report in subject.trained[1] for name in report.metrics}
    for name, curve in subject.short.metric_info().items():
        told = ", ".join(sorted(reported))
        assert name in reported, f"curves() tells of {name!r}; the reports have {told}."
        odd = [key for key, level in curve.levels.items() if not math.isfinite(level)]
        assert not odd, f"The level {odd[0]!r} of {name!r} is not finite."


def fit_sees_points_alone(subject: Subject) -> None:
    """Training takes x and nothing else, so labels have no way in, and leaves x as it was."""
    names = list(inspect.signature(subject.method.fit).parameters)
    assert names == ["self", "x"], f"fit takes {', '.join(names)}: let it take x alone."
    x = subject.x.clone()
    subject.fitted(x)
    assert torch.equal(x, subject.x), "fit changes the points it is given: work on a copy."


def global_randomness_is_untouched(subject: Subject) -> None:
    """The random states of torch, numpy and Python are the same after everything as before."""
    before = _global_states()
    method = subject.fresh()
    _expect_same(before, "The constructor")
    for report in method.fit(subject.x):
        _expect_same(before, f"Training in stage {report.stage}")
    method.predict_log_proba(subject.x)
    _expect_same(before, "predict_log_proba")
    clusterer = method.clusterers()[0]
    kind = subject.method.clusterer_of(subject.short)
    kind(subject.short, (4,), clusterer.weights(), device=subject.device)
    _expect_same(before, "Building a clusterer")
    clusterer.predict(subject.x)
    clusterer.embed(subject.x)
    _expect_same(before, "A clusterer's answer")


def any_number_of_points_trains(subject: Subject) -> None:
    """Training works where the batch does not divide the points, or is larger than they are."""
    for n in (97, 31):
        answer = subject.fitted(subject.noise[:n]).predict_log_proba(subject.noise[:n])
        assert bool(answer.isfinite().all()), f"After {n} points the answers are not finite."


def a_constant_feature_breaks_nothing(subject: Subject) -> None:
    """Training and answers are finite where a feature has one value for all points."""
    for value in (0.0, 1.0):
        x = subject.x.clone()
        x[:, 1] = value
        method = subject.fresh()
        for report in method.fit(x):
            for name, metric in report.metrics.items():
                finite = bool(metric.isfinite().all())
                assert finite, f"With a feature constant at {value} {name} is not finite."
        answer = method.predict_log_proba(x)
        assert bool(answer.isfinite().all()), f"A feature constant at {value} breaks the answers."


def points_keep_their_shape(subject: Subject) -> None:
    """Training takes points of any shape, here (2, 2)."""
    x = subject.x.unflatten(1, (2, 2))
    answer = subject.fitted(x).predict_log_proba(x)
    shape, expected = tuple(answer.shape), tuple(subject.answer.shape)
    assert shape == expected, f"Of points of shape (2, 2) the answer has shape {shape}."


def asking_changes_nothing(subject: Subject) -> None:
    """Answers, states and clusterers taken at every report do not change the training's end."""
    method = subject.fresh()
    for report in method.fit(subject.x):
        method.state()
        if report.clusters:
            method.predict_log_proba(subject.x)
            method.clusterers()[0].predict(subject.x)
    same = torch.equal(method.predict_log_proba(subject.x), subject.answer)
    assert same, "A training that was asked at every report ends elsewhere than one left alone."


def a_stopped_training_goes_on_exactly(subject: Subject) -> None:
    """A state taken at any report and restored elsewhere, through a file, ends the same."""
    reports = subject.trained[1]
    for stop, reached in enumerate(reports, start=1):
        method = subject.fresh()
        for _ in zip(range(stop), method.fit(subject.x), strict=False):
            state = method.state()
        other = subject.fresh()
        other.restore(through_a_file(state))
        rest = list(other.fit(subject.x))
        place = f"Resumed after epoch {reached.epoch} ({reached.stage})"
        epochs = [report.epoch for report in rest]
        expected = [report.epoch for report in reports[stop:]]
        assert epochs == expected, f"{place}, training makes epochs {epochs}, not {expected}."
        for one, two in zip(rest, reports[stop:], strict=True):
            for name, value in two.metrics.items():
                same = equal(one.metrics[name], value)
                assert same, f"{place}, {name} differs at epoch {two.epoch}."
        same = torch.equal(other.predict_log_proba(subject.x), subject.answer)
        assert same, f"{place}, training ends with other answers."


def a_state_stands_still(subject: Subject) -> None:
    """A state is a copy: going on with the training leaves it as it was taken."""
    method = subject.fresh()
    training = method.fit(subject.x)
    next(training)
    state = method.state()
    copy = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
    for _ in training:
        pass
    for name, value in copy.items():
        same = equal(value, state[name])
        assert same, f"{name} in a state changes as training goes on: copy it in state()."


def weights_exist_from_the_start(subject: Subject) -> None:
    """An untrained method has weights of the names, shapes and types that a trained one has."""
    start, end = (
        {name: (tuple(t.shape), t.dtype) for name, t in clusterer.weights().items()}
        for clusterer in (subject.fresh().clusterers()[0], subject.clusterers[0])
    )
    for name in sorted(start.keys() | end.keys()):
        a, b = start.get(name, "absent"), end.get(name, "absent")
        assert a == b, f"The weight {name} is {a} before training and {b} after it."


def together_equals_alone(subject: Subject) -> None:
    """A replica trained in company equals the same seed trained alone, over five passes."""
    x, config = subject.x[:60], subject.config.capped(5)
    together = subject.fresh(config=config)
    reports = list(together.fit(x))
    answers = together.predict_log_proba(x)
    for r, seed in enumerate(SEEDS):
        alone = subject.fresh((seed,), config=config)
        for ours, own in zip(reports, alone.fit(x), strict=True):
            for name, value in own.metrics.items():
                gap = distance(value, ours.metrics[name][[r]])
                assert gap < CLOSE, (
                    f"Seed {seed} in company differs from the same seed alone by {gap:.1e} in "
                    f"{name} at epoch {own.epoch}."
                )
        gap = distance(alone.predict_log_proba(x), answers[[r]])
        assert gap < 10 * CLOSE, (
            f"Seed {seed} in company answers otherwise than the same seed alone, by {gap:.1e}."
        )


def the_seed_decides(subject: Subject) -> None:
    """The same seed gives the same result, another seed another, and 0 is a seed like any."""
    config = dataclasses.replace(subject.short, n_components=8)
    answers = _seeded(subject, (0, 1, UNSEEDED), config)
    with _other_global_randomness():
        again = _seeded(subject, (0, 1, UNSEEDED), config)
    assert torch.equal(answers, again), "The same seeds give another result the second time."
    zero, one, unseeded = answers
    assert not torch.equal(zero, one), "Seeds 0 and 1 give the same result."
    assert not torch.equal(zero, unseeded), "Seed 0 is taken for no seed at all."


def gradients_reach_every_parameter(subject: Subject) -> None:
    """Every parameter gets a gradient in every replica and moves by it."""
    method = subject.fresh()
    assert isinstance(method, Trains)
    start = {name: p.detach().clone() for name, p in method.parameters()}
    assert start, "The method names no parameters."
    reached = {name: torch.zeros(len(SEEDS), dtype=torch.bool) for name in start}
    for _ in method.fit(subject.x):
        for name, parameter in method.parameters():
            if parameter.grad is not None:
                reached[name] |= _by_replica(parameter.grad != 0)
    for name, parameter in method.parameters():
        assert bool(reached[name].all()), f"No gradient reaches {name} in some replica."
        moved = _by_replica(parameter.detach() != start[name])
        assert bool(moved.all()), f"{name} does not move: give it to the optimiser."


def divergence_is_an_outcome(subject: Subject) -> None:
    """A training whose steps are far too long runs to its end and answers; it raises nothing."""
    rates: dict[str, Any] = {
        f.name: min(1e6, f.metadata["high"] or 1e6)
        for f in dataclasses.fields(subject.short)
        if f.name.endswith("learning_rate")
    }
    config = dataclasses.replace(subject.short, **rates)
    try:
        answer = subject.fitted(subject.x, config=config).predict_log_proba(subject.x)
    except Exception as error:
        raise AssertionError(
            f"Training that diverges raises {type(error).__name__} ({error}): report it instead."
        ) from error
    shape, expected = tuple(answer.shape), tuple(subject.answer.shape)
    assert shape == expected, f"A diverged training answers with shape {shape}, not {expected}."


def _seeded(subject: Subject, seeds: Sequence[int], config: Config) -> Tensor:
    return subject.fitted(subject.noise, seeds, config=config).predict_log_proba(subject.noise)


def _by_replica(condition: Tensor) -> Tensor:
    """Return for each replica whether a condition on stacked numbers (R·m, …) holds anywhere."""
    return condition.reshape(len(SEEDS), -1).any(dim=1).cpu()


def equal(a: object, b: object) -> bool:
    """Return whether two values of a state are the same; NaN is as NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
    return a == b


def through_a_file(state: State) -> State:
    """Return a state as a checkpoint gives it back."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    scalars: dict[str, Any] = {n: v for n, v in state.items() if n not in tensors}
    for name, value in scalars.items():
        plain = isinstance(value, bool | int | float | str)
        assert plain, f"{name} in the state is a {type(value).__name__}, no tensor and no scalar."
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write(Path(folder) / "state", tensors, scalars)
        read, document = checkpoint.read(Path(folder) / "state")
    return {**read, **document}


def _global_states() -> dict[str, object]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  the global state is the point
    numpy_state = (kind, np.asarray(keys).tobytes(), *rest)
    torch_state = torch.get_rng_state().numpy().tobytes()
    return {"torch": torch_state, "numpy": numpy_state, "random": random.getstate()}


def _expect_same(before: dict[str, object], who: str) -> None:
    for library, state in _global_states().items():
        assert state == before[library], f"{who} touches the global random state of {library}."


@contextmanager
def _other_global_randomness() -> Iterator[None]:
    """Put the global random states elsewhere, and back at the end."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        np.random.seed(12345)  # noqa: NPY002
        random.seed(12345)
        yield
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)
