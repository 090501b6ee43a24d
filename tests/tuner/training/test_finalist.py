"""Finalists: chosen on training points, scored on the test split."""

import json
from dataclasses import replace

import pytest

from tuner.data import load
from tuner.evaluation.graph import neighbour_graph
from tuner.evaluation.separation import modularity
from tuner.training.finalist import Finalist, fit_finalist, ranked_candidates
from tuner.training.saved_model import Model
from tuner.training.trial_inputs import TrialSpec

from ..in_process import blobs

FINALIST = Finalist(
    rank=0,
    number=3,
    method="kmeans",
    settings={},
    seeds=(1, 2, 3),
    values=(0.5, 0.7, 0.6),
    scores=(0.8, 0.4, 0.0),
    found=(True, True, False),
    guards={},
    audits=(),
    folder="f",
    started=0.0,
    ended=1.0,
)


def test_the_best_replica_is_chosen_on_training_points_not_on_test_points():
    assert FINALIST.best == 1


def test_the_value_of_a_replica_counts_half_and_the_mean_of_its_finalist_the_other_half():
    lucky = replace(FINALIST, rank=1, values=(0.1, 0.75, 0.1))
    assert FINALIST.shrunk_value(1) == pytest.approx((0.7 + 0.6) / 2)
    ranked = [(c.finalist.rank, c.replica) for c in ranked_candidates([lucky, FINALIST])]
    assert ranked == [(0, 1), (0, 0), (1, 1), (1, 0)], "replicas without clusters are left out"
    assert ranked_candidates([replace(FINALIST, found=(False,) * 3)]) == []
    assert ranked_candidates([FINALIST])[0].folder == FINALIST.model_folder(1)


def test_a_replica_that_collapses_on_the_test_split_is_not_chosen():
    assert replace(FINALIST, values=(0.5, 0.7, 0.9)).best == 1


@pytest.mark.parametrize(
    ("found", "usable"), [((False, False, True), True), ((False,) * 3, False)]
)
def test_a_finalist_is_usable_if_a_replica_finds_clusters(found, usable):
    assert replace(FINALIST, found=found).is_usable is usable


def test_a_bad_score_is_not_a_collapse():
    bad = replace(FINALIST, scores=(-0.1, -0.2, 0.0))
    assert bad.is_usable
    assert bad.best == 1, "the third replica collapsed, although its score of 0 is higher"


def test_a_finalist_stored_before_collapse_was_gives_it_by_its_score():
    stored = FINALIST.to_mapping()
    del stored["found"]
    assert Finalist.from_mapping(stored) == FINALIST


def test_a_finalist_stored_before_restarts_has_one():
    stored = FINALIST.to_mapping()
    del stored["restarts"], stored["halved"]
    assert Finalist.from_mapping(stored) == FINALIST
    assert (FINALIST.restarts, FINALIST.halved) == (1, ())


def test_a_finalist_is_restored_from_json():
    written = json.loads(json.dumps(FINALIST.to_mapping()))
    assert Finalist.from_mapping(written) == FINALIST


def test_values_are_of_training_points_and_scores_of_test_points(tmp_path):
    dataset = load(str(blobs(tmp_path / "blobs.npz")))
    graph = neighbour_graph(dataset.train, fingerprint=dataset.fingerprint)
    test_graph = neighbour_graph(dataset.test, fingerprint=f"{dataset.fingerprint}/test")
    spec = TrialSpec(
        number=0,
        method="kmeans",
        settings={"n_components": 4},
        seeds=(0, 1),
        objective="modularity",
        folder=str(tmp_path / "finalist"),
    )
    watched = []
    finalist = fit_finalist(spec, 0, dataset, graph, test_graph, watch=watched.append)
    assert watched[-1].finished
    assert finalist.settings == Model.load(finalist.model_folder(0)).config.to_mapping()
    for r in range(2):
        clusterer = Model.load(finalist.model_folder(r))
        for points, scored_on, value in (
            (dataset.train, graph, finalist.values[r]),
            (dataset.test, test_graph, finalist.scores[r]),
        ):
            labels = clusterer.predict(dataset.preprocessor.invert(points))
            assert value == pytest.approx(float(modularity(scored_on, labels[scored_on.index])))
