"""One trial without Ray: its evaluations, its failures, and how it is resumed."""

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.data.dataset import Dataset
from tuner.data.encoding import ArrayEncoder
from tuner.data.preprocessor import Preprocessor
from tuner.data.scaling import Scaling
from tuner.errors import DiskError
from tuner.evaluation.graph import neighbour_graph
from tuner.methods import catalog
from tuner.models._kit.recording import Recording, RecordingError
from tuner.study.seeds import finalist_seeds, trial_seeds
from tuner.study.space import method_space
from tuner.testing.recording import steps_recorded_by
from tuner.training import checkpoint, trial
from tuner.training.attempts import attempts
from tuner.training.evaluations import Evaluation, read_evaluations
from tuner.training.evaluator import TrialEvaluator
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialData, TrialSpec, trial_data

from ..faults.idle import Idle
from ..sabotage import cut, flip


@pytest.fixture(scope="module")
def shared() -> TrialData:
    return trial_data(dataset(), graph())


def points() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=240)
    centres = np.array([[-2.0, 0.0, 1.0], [0.0, 2.0, -1.0], [2.0, -1.0, 0.0]])
    drawn = centres[labels] + 0.2 * rng.normal(size=(240, 3))
    return drawn.astype(np.float32), labels


def dataset() -> Dataset:
    x, labels = points()
    return Dataset(
        name="blobs",
        train=x,
        test=x[:60],
        train_labels=labels,
        test_labels=labels[:60],
        label_names=("a", "b", "c"),
        preprocessor=Preprocessor(ArrayEncoder((3,)), Scaling(np.zeros(3), np.ones(3))),
        fingerprint="f" * 64,
    )


def graph() -> Any:
    return neighbour_graph(points()[0], fingerprint="f" * 64)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalog.method
    monkeypatch.setattr(catalog, "method", lambda name: Idle if name == "idle" else known(name))


def spec(folder: Path, method: str = "idle", **settings: Any) -> TrialSpec:
    return TrialSpec(
        number=3,
        method=method,
        settings={"n_components": 3, **settings},
        seeds=(1, 2),
        objective="modularity",
        folder=str(folder),
    )


def gmvae(folder: Path, **settings: Any) -> TrialSpec:
    tiny = dict(method_space("gmvae").presets["tiny"])
    own = {"likelihood": "gaussian", "epochs": 40}
    return spec(folder, "gmvae", **{**tiny, **own, **settings})


def current(folder: Path) -> Any:
    """Return the folder of the newest attempt at a trial."""
    return attempts(folder)[0]


def run(one: Trial) -> list[Evaluation]:
    evaluations = [one.advance()]
    while not evaluations[-1].finished:
        evaluations.append(one.advance())
    return evaluations


def without_times(evaluations: list[Evaluation]) -> list[Evaluation]:
    return [replace(e, seconds=0.0) for e in evaluations]


@pytest.mark.usefixtures("idle")
def test_a_trial_is_evaluated_at_most_twenty_times(shared: TrialData, tmp_path: Path) -> None:
    evaluations = run(Trial(spec(tmp_path, epochs=47), shared))
    assert [e.epoch for e in evaluations] == [*range(3, 47, 3), 47]
    assert [e.finished for e in evaluations] == [False] * 15 + [True]
    assert {e.passes for e in evaluations} == {47}
    last = evaluations[-1]
    assert last.failure is None
    assert last.value == pytest.approx(np.mean(last.replicas))
    assert {"train/loss", "score/value", "score/agreement", "audit/hungarian"} <= set(last.metrics)
    assert read_evaluations(tmp_path) == evaluations


def test_a_trial_finds_separated_blobs(shared: TrialData, tmp_path: Path) -> None:
    last = run(Trial(gmvae(tmp_path), shared))[-1]
    assert last.failure is None
    assert last.value is not None
    assert max(last.replicas) > 0.55
    assert last.metrics["audit/hungarian"] > 0.5


def test_a_resumed_trial_gives_the_same_evaluations(shared: TrialData, tmp_path: Path) -> None:
    whole = run(Trial(gmvae(tmp_path / "whole"), shared))
    first = Trial(gmvae(tmp_path / "broken"), shared)
    first_evaluations = [first.advance() for _ in range(7)]
    first.save()
    first.advance()  # this one is lost
    second = Trial(gmvae(tmp_path / "broken"), shared)
    rest = run(second)
    assert second.note == ""
    assert without_times(first_evaluations + rest) == without_times(whole)
    assert without_times(read_evaluations(tmp_path / "broken")) == without_times(whole)


def test_a_trial_without_a_checkpoint_restarts(shared: TrialData, tmp_path: Path) -> None:
    first = Trial(gmvae(tmp_path), shared)
    first_evaluations = [first.advance() for _ in range(3)]
    assert without_times(run(Trial(gmvae(tmp_path), shared)))[:3] == without_times(
        first_evaluations
    )
    written = (current(tmp_path) / "metrics.jsonl").read_text().splitlines()
    assert len(written) == len(read_evaluations(tmp_path)), "no line is repeated"


@pytest.mark.usefixtures("idle")
def test_a_checkpoint_is_due_after_a_while(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Trial(spec(tmp_path, epochs=5), shared)
    one.advance()
    assert checkpoint.saved_checkpoints(current(tmp_path) / "checkpoints") == []
    monkeypatch.setattr(trial, "_CHECKPOINT_SECONDS", 0.0)
    run(one)
    kept = [path.name for path in checkpoint.saved_checkpoints(current(tmp_path) / "checkpoints")]
    assert kept == ["step-00000004", "step-00000003"], "the newest two, none at the very end"


@pytest.mark.usefixtures("idle")
def test_a_checkpoint_is_never_ahead_of_what_is_written(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_CHECKPOINT_SECONDS", 0.0)
    seen = []
    saved = Trial.save

    def save(one: Trial, **_: Any) -> None:
        seen.append(read_evaluations(tmp_path)[-1].epoch)
        saved(one)

    monkeypatch.setattr(Trial, "save", save)
    run(Trial(spec(tmp_path, epochs=4), shared))
    assert seen == [1, 2, 3]


@pytest.mark.usefixtures("idle")
def test_a_trial_that_is_resumed_at_its_end_ends(shared: TrialData, tmp_path: Path) -> None:
    one = Trial(spec(tmp_path, epochs=2), shared)
    run(one)
    one.save()
    evaluations = run(Trial(spec(tmp_path, epochs=2), shared))
    assert [(e.epoch, e.finished, e.failure) for e in evaluations] == [(2, True, None)]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("incomplete", ['{"epoch": 2, "pas', "{}\n", "\x00\x00\n", '{"epoch": 9}'])
def test_an_incomplete_line_is_dropped_and_later_lines_are_complete(
    incomplete: str, shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(spec(tmp_path, epochs=4), shared)
    first_evaluations = [one.advance(), one.advance()]
    one.save()
    with (current(tmp_path) / "metrics.jsonl").open("a") as file:
        file.write(incomplete)
    assert read_evaluations(tmp_path) == first_evaluations
    rest = run(Trial(spec(tmp_path, epochs=4), shared))
    assert read_evaluations(tmp_path) == first_evaluations + rest
    assert [e.epoch for e in rest] == [3, 4]
    for line in (current(tmp_path) / "metrics.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("file", ["weights.safetensors", "document.json", "manifest.json"])
def test_a_damaged_checkpoint_is_skipped(
    damage: Any, file: str, shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(spec(tmp_path, epochs=6), shared)
    one.advance()
    one.save()
    one.advance()
    one.save()
    newest, before = checkpoint.saved_checkpoints(current(tmp_path) / "checkpoints")
    damage(newest / file)
    second = Trial(spec(tmp_path, epochs=6), shared)
    evaluations = run(second)
    assert [e.epoch for e in evaluations] == [2, 3, 4, 5, 6]
    assert str(newest) in second.note
    assert evaluations[0].detail == second.note
    damage(before / file)
    third = Trial(spec(tmp_path, epochs=6), shared)
    assert third.advance().epoch == 1
    assert str(before) in third.note


@pytest.mark.usefixtures("idle")
def test_a_checkpoint_of_another_configuration_is_ignored(
    shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(spec(tmp_path, epochs=6), shared)
    one.advance()
    one.save()
    other = Trial(spec(tmp_path, epochs=6, offset=0.5), shared)
    assert other.advance().epoch == 1
    assert "another configuration" in other.note
    assert [e.epoch for e in read_evaluations(tmp_path)] == [1], (
        "its evaluations are discarded, too"
    )


@pytest.mark.usefixtures("idle")
def test_training_restarts_if_a_checkpoint_does_not_fit(shared: TrialData, tmp_path: Path) -> None:
    one = Trial(spec(tmp_path, epochs=3), shared)
    one.advance()
    one.save()
    (path,) = checkpoint.saved_checkpoints(current(tmp_path) / "checkpoints")
    tensors, document = checkpoint.read(path)
    checkpoint.write(path, {"renamed": tensors["centres"]}, document)
    second = Trial(spec(tmp_path, epochs=3), shared)
    assert [e.epoch for e in run(second)] == [1, 2, 3]
    assert "does not fit" in second.note


def test_a_trial_that_has_not_started_saves_nothing(shared: TrialData, tmp_path: Path) -> None:
    Trial(gmvae(tmp_path), shared).save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [1e6])
def test_a_diverging_training_ends_at_once(rate: float, shared: TrialData, tmp_path: Path) -> None:
    evaluations = run(Trial(gmvae(tmp_path, learning_rate=rate), shared))
    last = evaluations[-1]
    assert last.epoch < last.passes, "the other epochs would be wasted"
    assert last.failure == "diverged"
    assert all(v is None or np.isfinite(v) for v in (last.value, last.sd, *last.replicas))
    assert "NaN" not in (current(tmp_path) / "metrics.jsonl").read_text()


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("fault", "at", "failure"),
    [
        ("nan", 2, "diverged"),
        ("collapse", 2, "collapsed"),
        ("memory", 2, "oom"),
        ("memory", 0, "oom"),
        ("raise", 2, "RuntimeError: the test asked for it"),
        ("raise", 0, "RuntimeError: the test asked for it"),
    ],
)
def test_a_fault_is_a_failed_evaluation_with_its_reason(
    fault: str, at: int, failure: str, shared: TrialData, tmp_path: Path
) -> None:
    evaluations = run(Trial(spec(tmp_path, epochs=3, fault=fault, at=at), shared))
    last = evaluations[-1]
    assert (last.finished, last.failure) == (True, failure)
    assert last.value == (0.0 if fault == "collapse" else None)
    assert ("Traceback" in last.detail) == (fault in ("memory", "raise"))
    assert read_evaluations(tmp_path) == evaluations


def test_running_out_of_gpu_memory_is_oom(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    one = Trial(gmvae(tmp_path), shared)
    one.advance()
    monkeypatch.setattr(one.method, "predict_log_proba", full)
    monkeypatch.setattr(type(one.method), "predict_log_proba", full)
    assert run(one)[-1].failure == "oom"


def test_batches_are_halved_when_gpu_memory_runs_out(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.models.gmvae import method as module

    bound, seen = module.lower_bound, []

    def limited(network: Any, y: torch.Tensor, draws: Any, samples: int) -> Any:
        seen.append(y.shape[1])
        if y.shape[1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return bound(network, y, draws, samples)

    monkeypatch.setattr(module, "lower_bound", limited)
    one = Trial(gmvae(tmp_path, batch_size=60, epochs=10), shared)
    last = run(one)[-1]
    assert last.failure is None
    assert one.config.batch_size == 15  # type: ignore[attr-defined]
    assert "the GPU ran out of memory, so training uses batch_size=15" in last.detail
    assert [epoch.epoch for epoch in read_evaluations(tmp_path)] == list(range(1, last.passes + 1))
    assert set(seen) == {60, 30, 15}


def test_the_memory_of_a_failed_attempt_is_released_before_the_next(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.models.gmvae import method as module

    bound = module.lower_bound
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def limited(network: Any, y: torch.Tensor, draws: Any, samples: int) -> Any:
        alive.append(sum(ref() is not None for ref in held))
        if y.shape[1] > 20:
            held.extend(weakref.ref(tensor) for tensor in (y, *network.parameters()))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return bound(network, y, draws, samples)

    monkeypatch.setattr(module, "lower_bound", limited)
    assert run(Trial(gmvae(tmp_path, batch_size=60, epochs=2), shared))[-1].failure is None
    assert held
    assert set(alive) == {0}


def test_training_continues_without_recording_where_steps_cannot_be_recorded(
    shared: TrialData, tmp_path: Path
) -> None:
    class Refusing(Recording):
        def __init__(self, *_: Any) -> None:
            raise RecordingError("operation not permitted when stream is capturing\nSearch for it")

        def replay(self) -> None:
            raise AssertionError

        @staticmethod
        def warm_up(work: Callable[[], None]) -> None:
            work()

    expected = run(Trial(gmvae(tmp_path / "called", epochs=6), shared))
    with steps_recorded_by(Refusing, "cpu"):
        evaluations = run(Trial(gmvae(tmp_path / "refused", epochs=6), shared))
    assert evaluations[-1].value == expected[-1].value
    note = "so training is slower (operation not permitted when stream is capturing)."
    assert "the training steps cannot be recorded on this GPU" in evaluations[-1].detail
    assert note in evaluations[-1].detail
    assert [e.epoch for e in evaluations] == [e.epoch for e in expected]


@pytest.mark.usefixtures("idle")
def test_an_unwritable_folder_raises_and_does_not_fail_the_trial(
    shared: TrialData, tmp_path: Path
) -> None:
    blocked = tmp_path / "trial"
    blocked.write_text("")
    one = Trial(spec(blocked), shared)
    with pytest.raises(DiskError, match=str(blocked)):
        one.advance()


@pytest.mark.usefixtures("idle")
def test_a_value_that_is_not_finite_is_none(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Trial(spec(tmp_path), shared)
    values = np.array([0.5, np.nan])
    monkeypatch.setattr(TrialEvaluator, "_replica_values", lambda *_: values)
    evaluation = one.advance()
    assert evaluation.value is None
    assert evaluation.sd == 0.0


@pytest.mark.parametrize("objective", ["acc", "nmi", "ami", "ari"])
def test_labels_may_be_the_objective(objective: str, shared: TrialData, tmp_path: Path) -> None:
    one = Trial(replace(gmvae(tmp_path), objective=objective), shared)
    last = run(one)[-1]
    name = {"acc": "hungarian"}.get(objective, objective)
    assert last.value == pytest.approx(last.metrics[f"audit/{name}"])


def test_a_bound_may_be_the_objective(shared: TrialData, tmp_path: Path) -> None:
    last = run(Trial(replace(gmvae(tmp_path), objective="elbo"), shared))[-1]
    assert last.value is not None
    assert last.value == pytest.approx(np.mean(last.replicas))
    assert last.value not in (0.0, pytest.approx(last.metrics["score/value"]))


def test_labels_change_nothing_but_the_audit(shared: TrialData, tmp_path: Path) -> None:
    plain = run(Trial(gmvae(tmp_path / "plain"), shared))
    blind = run(Trial(gmvae(tmp_path / "blind"), replace(shared, labels=None)))
    for with_labels, without in zip(plain, blind, strict=True):
        kept = {k: v for k, v in with_labels.metrics.items() if not k.startswith("audit/")}
        assert kept == without.metrics
        assert with_labels.value == without.value


def test_seeds_differ_between_trials_replicas_and_finalists() -> None:
    drawn = [
        *trial_seeds(0, 1, 3),
        *trial_seeds(0, 2, 3),
        *trial_seeds(1, 1, 3),
    ]
    drawn += [*finalist_seeds(0, 1, 5), *finalist_seeds(0, 2, 5)]
    assert len(set(drawn)) == len(drawn)
    assert trial_seeds(0, 1, 5)[:3] == trial_seeds(0, 1, 3), "more replicas keep the first ones"
    assert finalist_seeds(0, 1, 320)[:5] == finalist_seeds(0, 1, 5), "restarts too"


def test_a_trial_without_a_file_has_no_evaluations(tmp_path: Path) -> None:
    assert read_evaluations(tmp_path / "nowhere") == []
