"""Restarts: which candidates go on, and that they go on as if they had been alone."""

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.evaluation.graph import neighbour_graph
from tuner.evaluation.objective import evaluate
from tuner.study.space import method_space
from tuner.training import checkpoint
from tuner.training.evaluations import Evaluation, read_evaluations
from tuner.training.finalist import Finalist, fit_finalist
from tuner.training.restarts import (
    Candidates,
    cut_passes,
    cuts,
    halvings,
    leading,
    left_at,
    mean_left,
    standing,
    survivors,
)
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialData, TrialSpec, trial_data

from .test_trial import current, dataset, gmvae, graph, run, without_times

SEEDS = (11, 12, 13, 14, 15, 16, 17, 18)  # of two replicas with four candidates each


@pytest.fixture(scope="module")
def shared() -> TrialData:
    return trial_data(dataset(), graph())


def restarted(folder: Path, **settings: Any) -> TrialSpec:
    one = gmvae(folder, epochs=12, **settings)
    return replace(one, seeds=SEEDS, restarts=4)


@pytest.mark.parametrize(
    ("restarts", "passes", "due"),
    [
        (1, 30, []),
        (2, 30, [10]),
        (3, 30, [5, 10]),
        (4, 30, [5, 10]),
        (4, 1, [1, 1]),
        (5, 36, [4, 8, 12]),
        (8, 100, [12, 23, 34]),
    ],
)
def test_cuts_are_due_within_a_third_of_the_passes(
    restarts: int, passes: int, due: list[int]
) -> None:
    assert cut_passes(restarts, passes) == due
    assert cuts(restarts) == len(due)


def test_half_of_the_candidates_rounded_up_go_on_until_one_is_left() -> None:
    assert [left_at(5, epoch, 36) for epoch in (1, 3, 4, 7, 8, 11, 12, 36)] == [
        *(5, 5, 3, 3, 2, 2, 1, 1)
    ]
    for restarts in range(1, 65):
        assert left_at(restarts, 100, 300) == 1
        assert left_at(restarts, 99, 300) == 2 or restarts == 1


@pytest.mark.parametrize(
    ("restarts", "times"), [(1, 1.0), (2, 4 / 3), (3, 1.5), (4, 5 / 3), (8, 2 / 3 + 14 / 9)]
)
def test_restarts_cost_what_their_candidates_do_until_they_are_cut(
    restarts: int, times: float
) -> None:
    assert mean_left(restarts, 0, 900) == pytest.approx(times)
    left = [left_at(restarts, epoch, 900) for epoch in range(900)]
    for done in (0, 100, 200, 600, 899):
        assert mean_left(restarts, done, 900) == pytest.approx(np.mean(left[done:]))
    assert mean_left(restarts, 900, 900) == 1.0


def test_candidates_are_halved_at_evaluations() -> None:
    assert halvings(4, 12) == [2, 4]
    assert halvings(4, 100) == [20, 35]
    assert halvings(64, 1) == [1]
    assert halvings(1, 100) == []


def test_only_candidates_of_the_same_replica_compete() -> None:
    found = np.array([0.9, 0.1, 0.8, 0.3, 0.7, 0.2])  # three candidates of two replicas
    assert leading(found, 2).tolist() == [0, 3]
    assert survivors(found, 2, 2).tolist() == [0, 3, 2, 5]
    assert survivors(found, 2, 1).tolist() == [0, 3]


def test_the_first_of_equal_candidates_goes_on() -> None:
    assert survivors(np.zeros(6), 2, 2).tolist() == [0, 1, 2, 3]
    assert leading(np.array([0.0, 0.5, 0.0, 0.5]), 2).tolist() == [0, 1]


def test_what_is_left_stays_in_the_order_of_replicas() -> None:
    left = Candidates(SEEDS, 2, tuple(range(8)))
    assert left.count == 4
    found = np.array([0, 3, 1, 2, 2, 1, 3, 0], dtype=float)
    left = left.at(survivors(found, 2, 2))
    assert left.seeds == (15, 12, 17, 14)
    left = left.at(survivors(np.array([0.1, 0.9, 0.2, 0.8]), 2, 1))
    assert (left.seeds, left.count) == ((17, 12), 1)


def test_diverged_and_collapsed_candidates_are_below_all_others() -> None:
    n = len(graph())
    log_proba = np.log(np.random.default_rng(0).dirichlet(np.ones(3), size=(4, n)))
    log_proba[0, :, 0] = np.inf  # diverged
    log_proba[1, :, 0] = 1.0  # collapsed
    scores = evaluate(graph(), log_proba)
    found = standing(scores)
    assert scores.collapsed.tolist() == [False, True, False, False]
    assert found[0] < found[1] < min(found[2:])
    assert found[2:].tolist() == scores.score[2:].tolist()


def test_candidates_are_halved_twice_and_the_evaluation_keeps_its_shape(
    shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(restarted(tmp_path), shared)
    evaluations = run(one)
    assert [e.candidates for e in evaluations] == [4, 2, 2, *[1] * 9]
    assert {len(e.replicas) for e in evaluations} == {2}
    assert evaluations[-1].value == pytest.approx(np.mean(evaluations[-1].replicas))
    assert len(one.method.clusterers()) == 2
    for e in evaluations:
        for r, seed in enumerate(e.seeds):
            assert SEEDS.index(seed) % 2 == r
    assert read_evaluations(tmp_path) == evaluations


def test_an_evaluation_is_of_the_leading_candidate_of_each_replica(
    shared: TrialData, tmp_path: Path
) -> None:
    restarts = Trial(restarted(tmp_path / "restarts"), shared).advance()
    single = replace(restarted(tmp_path / "all"), restarts=1)
    every = np.array(Trial(single, shared).advance().replicas).reshape(4, 2)
    assert restarts.replicas == pytest.approx(every.max(axis=0))
    assert restarts.seeds == tuple(SEEDS[2 * j + r] for r, j in enumerate(every.argmax(axis=0)))


def test_survivors_equal_the_same_seeds_trained_alone(shared: TrialData, tmp_path: Path) -> None:
    one = Trial(restarted(tmp_path / "restarts"), shared)
    last = run(one)[-1]
    assert len(last.seeds) == 2
    alone = Trial(replace(gmvae(tmp_path / "alone", epochs=12), seeds=last.seeds), shared)
    other = run(alone)[-1]
    assert other.replicas == pytest.approx(last.replicas, abs=1e-3)
    x = torch.from_numpy(shared.x)
    torch.testing.assert_close(
        one.method.predict_log_proba(x), alone.method.predict_log_proba(x), rtol=1e-3, atol=1e-3
    )


def test_a_trial_resumed_at_any_evaluation_equals_an_unbroken_one(
    shared: TrialData, tmp_path: Path
) -> None:
    whole = run(Trial(restarted(tmp_path / "whole"), shared))
    for done in range(1, len(whole)):
        folder = tmp_path / str(done)
        first = Trial(restarted(folder), shared)
        for _ in range(done):
            first.advance()
        first.save()
        first.advance()  # this evaluation, and its cut, is repeated
        rest = run(Trial(restarted(folder), shared))
        assert without_times(rest) == without_times(whole[done:])
        assert without_times(read_evaluations(folder)) == without_times(whole)


def test_a_checkpoint_of_as_many_replicas_without_restarts_is_another_training(
    shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(restarted(tmp_path), shared)
    one.advance()
    one.save()
    other = Trial(replace(restarted(tmp_path), restarts=1), shared)
    other.advance()
    assert other.note == "the checkpoint belongs to another configuration and was ignored"


def test_a_checkpoint_without_restarts_is_as_before(shared: TrialData, tmp_path: Path) -> None:
    one = Trial(gmvae(tmp_path, epochs=4), shared)
    one.advance()
    one.save()
    found, _ = checkpoint.latest_valid(current(tmp_path) / "checkpoints")
    assert found is not None
    _, document = found
    assert set(document) == {"job", "epoch", "scalars", "evaluations"}
    assert set(document["job"]) == {"method", "settings", "seeds"}


@pytest.mark.parametrize("objective", ["modularity", "acc", "elbo"])
def test_labels_do_not_decide_which_candidates_go_on(
    objective: str, shared: TrialData, tmp_path: Path
) -> None:
    assert shared.labels is not None
    shuffled = np.random.default_rng(0).permutation(shared.labels)
    one = replace(restarted(tmp_path / "true"), objective=objective)
    other = replace(one, folder=str(tmp_path / "shuffled"))
    true = run(Trial(one, shared))
    false = run(Trial(other, replace(shared, labels=shuffled)))
    assert [e.seeds for e in false] == [e.seeds for e in true]
    assert [e.metrics["score/value"] for e in false] == [e.metrics["score/value"] for e in true]
    assert (false[-1].value == true[-1].value) == (objective != "acc")


def test_all_cuts_that_are_due_are_made_once_there_are_clusters(
    shared: TrialData, tmp_path: Path
) -> None:
    tiny = dict(method_space("dec").presets["tiny"])
    settings = {**tiny, "pretraining_epochs": 6, "epochs": 6}
    one = replace(restarted(tmp_path), method="dec", settings=settings)
    candidates = [(e.epoch, e.candidates) for e in run(Trial(one, shared))]
    assert candidates == [*((epoch, 4) for epoch in range(1, 7)), *((e, 1) for e in range(7, 13))]


def test_a_training_without_clusters_until_its_end_leaves_one_candidate(
    shared: TrialData, tmp_path: Path
) -> None:
    settings = {"n_components": 3, "starts": 1}
    one = Trial(replace(restarted(tmp_path), method="kmeans", settings=settings), shared)
    (last,) = run(one)
    assert (last.candidates, len(last.replicas)) == (1, 2)
    assert len(one.method.clusterers()) == 2


def test_a_shared_pretrained_network_has_the_candidates_of_all_replicas(
    shared: TrialData, tmp_path: Path
) -> None:
    tiny = dict(method_space("dec").presets["tiny"])
    settings = {**tiny, "pretraining_epochs": 2, "epochs": 6}
    one = replace(restarted(tmp_path / "one"), method="dec", settings=settings)
    cached = replace(one, pretraining_cache=str(tmp_path / "cache"))
    runs = [
        run(Trial(replace(spec, folder=str(tmp_path / name)), shared))
        for name, spec in (("alone", one), ("first", cached), ("second", cached))
    ]
    assert [e.epoch for e in runs[2]] == list(range(3, 9)), "it was taken from the cache"
    assert runs[1][-1].seeds == runs[0][-1].seeds == runs[2][-1].seeds
    assert runs[2][-1].replicas == runs[1][-1].replicas == runs[0][-1].replicas


def test_batches_are_halved_after_a_cut(
    shared: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.models.gmvae import method as module

    bound = module.lower_bound
    one = Trial(restarted(tmp_path, batch_size=60), shared)

    def limited(network: Any, y: torch.Tensor, draws: Any, samples: int) -> Any:
        if len(y) == 4 and y.shape[1] > 30:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return bound(network, y, draws, samples)

    before = [one.advance(), one.advance()]
    one.save()
    monkeypatch.setattr(module, "lower_bound", limited)
    rest = run(one)
    assert rest[0].epoch == 3, "it goes on at the checkpoint"
    assert one.config.batch_size == 30  # type: ignore[attr-defined]
    assert [e.candidates for e in before + rest] == [4, 2, 2, *[1] * 9]
    assert rest[-1].failure is None


def test_evaluations_from_before_restarts_have_one_candidate(tmp_path: Path) -> None:
    line = (
        '{"epoch": 1, "passes": 2, "stage": "train", "value": 0.5, "sd": 0.1, "finished": false, '
        '"failure": null, "detail": "", "metrics": {}, "replicas": [0.4, 0.6], "seconds": 1.0}\n'
    )
    (tmp_path / "metrics.jsonl").write_text(line)
    (found,) = read_evaluations(tmp_path)
    assert found == Evaluation(
        epoch=1, passes=2, stage="train", value=0.5, sd=0.1, replicas=(0.4, 0.6), seconds=1.0
    )
    assert (found.candidates, found.seeds) == (1, ())


def test_a_finalist_is_of_the_candidates_that_are_left(tmp_path: Path) -> None:
    data, last = dataset(), list[Evaluation]()
    test_graph = neighbour_graph(data.test, fingerprint="t" * 64)
    finalist = fit_finalist(restarted(tmp_path), 0, data, graph(), test_graph, watch=last.append)
    assert finalist.seeds == last[-1].seeds
    assert len(finalist.values) == len(finalist.scores) == len(finalist.audits) == 2
    assert finalist.values == last[-1].replicas
    assert (finalist.restarts, finalist.halved) == (4, (2, 4))
    assert Finalist.from_mapping(json.loads(json.dumps(finalist.to_mapping()))) == finalist
    assert finalist.model_folder(1).exists()
    assert not finalist.model_folder(2).exists()


def test_the_memory_of_candidates_that_are_cut_is_released_at_once(
    shared: TrialData, tmp_path: Path
) -> None:
    one = Trial(restarted(tmp_path), shared)
    one.advance()
    held = [weakref.ref(parameter) for _, parameter in one.method.parameters()]  # type: ignore[attr-defined]
    assert one.advance().candidates == 2
    assert {ref() for ref in held} == {None}
