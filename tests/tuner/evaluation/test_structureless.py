"""Structureless clouds: the reference of scores, and the test for clusters."""

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons

from tests.benchmarks._families import gaussian, member, sheet
from tuner.evaluation import structureless
from tuner.evaluation.clouds import kinds, local_dimension
from tuner.evaluation.graph import neighbour_graph
from tuner.evaluation.separation import assortativity, mass_entropy, separation
from tuner.evaluation.structureless import cloud_test, reference, scored_graph

Points = NDArray[np.float32]


def cloud(n: int = 600, width: int = 5, seed: int = 0) -> Points:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def cut(x: Points, k: int) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = KMeans(k, n_init=3, random_state=0).fit_predict(x)
    return labels.astype(np.int64)


@pytest.mark.parametrize("k", [2, 5, 12])
def test_cutting_a_gaussian_earns_nothing(k: int) -> None:
    x = cloud()
    graph = scored_graph(x, fingerprint="gaussian")
    assert abs(float(separation(graph, cut(x, k)))) < 0.12
    assert float(assortativity(graph, cut(x, k))) > 0.4, "which is no small number by itself"


def test_the_reference_falls_with_the_number_of_clusters() -> None:
    x = cloud()
    found = reference(x, np.arange(len(x)), fingerprint="a")
    assert found is not None
    assert (np.diff(found.assortativity) <= 1e-9).all()
    assert ((found.assortativity > 0) & (found.assortativity < 1)).all()
    assert float(found(np.log(4))) == pytest.approx(found.assortativity[5])
    again = reference(x, np.arange(len(x)), fingerprint="a")
    assert again is not None
    assert again.assortativity.tolist() == found.assortativity.tolist()


def test_the_reference_travels_with_the_graph() -> None:
    graph = pickle.loads(pickle.dumps(scored_graph(cloud(100), fingerprint="a")))
    assert graph.reference is not None
    assert scored_graph(cloud(100), fingerprint="a", objective="modularity").reference is None


@pytest.mark.parametrize("n", [3, 7, 8, 12, 40])
def test_few_points_have_a_score(n: int) -> None:
    x = cloud(n, 3)
    graph = scored_graph(x, fingerprint="few")
    assert (graph.reference is None) == (n < 8)


def test_equal_points_have_a_score() -> None:
    x = np.ones((60, 3), dtype=np.float32)
    graph = scored_graph(x, fingerprint="equal")
    assert np.isfinite(separation(graph, np.arange(60) % 2))


def test_pieces_of_a_curve_are_held_to_the_cuts_of_a_curve() -> None:
    x = make_moons(600, noise=0.05, random_state=0)[0].astype(np.float32)
    y = make_moons(600, noise=0.05, random_state=0)[1]
    graph = scored_graph(x, fingerprint="moons")
    assert float(separation(graph, y)) > float(separation(graph, cut(x, 10)))


def test_large_clouds_are_cut_by_centroids(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(500, 3)
    exact = structureless.best_cuts(x)
    monkeypatch.setattr(structureless, "_MAX_LINKED", 200)
    np.testing.assert_allclose(structureless.best_cuts(x)[3:10], exact[3:10], atol=0.08)


@pytest.mark.parametrize(("width", "low", "high"), [(1, 1, 1.1), (2, 1.8, 2.2), (5, 4, 6)])
def test_the_local_dimension_of_cubes(width: int, low: float, high: float) -> None:
    x = np.random.default_rng(1).random((800, width)).astype(np.float32)
    in_ten = np.concatenate([x, np.zeros((800, 10 - width), dtype=np.float32)], axis=1)
    assert low <= local_dimension(in_ten) <= high


def verdict(x: Points, labels: NDArray[np.int64]) -> structureless.Structure:
    test = cloud_test(x, fingerprint="verdict", draws=19)
    return test.structure(labels[test.index])


@pytest.mark.parametrize("family", [gaussian, sheet])
def test_structureless_data_have_no_clusters(family: object) -> None:
    x = family(np.random.default_rng(3))[0].astype(np.float32)[:300]  # type: ignore[operator]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    found = verdict(x, cut(x, 4))
    assert found.clustered is False
    assert found.p_value is not None
    assert found.p_value > 0.05


@pytest.mark.parametrize("family", ["unbalanced", "outliers", "moons"])
def test_clusters_are_found(family: str) -> None:
    x, y = member(family, 5)
    x, y = x[::2], y[::2]
    found = verdict(x, np.unique(y, return_inverse=True)[1])
    assert found.clustered is True
    assert (found.p_value, found.draws) == (0.05, 19)
    assert found.excess is not None
    assert found.excess > 1 / 3


def test_points_of_many_dimensions_have_no_manifold() -> None:
    rng = np.random.default_rng(0)
    assert list(kinds(cloud(300, 3), rng)) == ["normal", "box", "flat"]
    assert list(kinds(cloud(300, 40), rng)) == ["normal", "box"]


def test_few_points_are_not_tested() -> None:
    found = verdict(cloud(30), np.arange(30) % 2)
    assert found.to_mapping() == {
        "clustered": None,
        "p_value": None,
        "excess": None,
        "cloud": None,
        "draws": 0,
    }


def test_the_p_value_counts_the_clouds_that_reach_the_partition() -> None:
    cuts = np.linspace(0.2, 0.38, 19)[:, None] * np.ones(len(structureless._ENTROPIES))
    assert structureless._p_value(cuts, np.log(3), 0.9)[0] == pytest.approx(1 / 20)
    p, excess = structureless._p_value(cuts, np.log(3), 0.285)
    assert p == pytest.approx((1 + 10) / 20)
    assert excess == pytest.approx((0.285 - 0.29) / 0.71)


def test_best_cuts_are_those_of_partitions_of_the_cloud() -> None:
    x = cloud(300, 2)
    cuts = structureless.best_cuts(x)
    graph = neighbour_graph(x, fingerprint="cloud")
    labels = cut(x, 3)
    at = int(np.searchsorted(structureless._ENTROPIES, mass_entropy(labels)))
    assert cuts[at - 1] >= float(assortativity(graph, labels)) - 0.03
