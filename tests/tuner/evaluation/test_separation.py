"""Separation: what cutting structureless clouds earns is 0, whatever the balance of clusters."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from tuner.evaluation.graph import NeighbourGraph, Reference, neighbour_graph
from tuner.evaluation.objective import evaluate, lowest_score
from tuner.evaluation.separation import (
    LOWEST,
    assortativity,
    mass_entropy,
    modularity,
    separation,
)
from tuner.evaluation.structureless import scored_graph

Labels = NDArray[np.int64]


def blobs(sizes: list[int], seed: int = 0) -> tuple[NDArray[np.float32], Labels]:
    """Return clusters far apart."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return (20 * np.eye(len(sizes), 4)[y] + rng.normal(size=(len(y), 4))).astype(np.float32), y


@pytest.fixture(scope="module")
def unbalanced() -> tuple[NeighbourGraph, Labels, NDArray[np.float32]]:
    x, y = blobs([600, 40, 20])
    return scored_graph(x, fingerprint="unbalanced"), y, x


def test_assortativity_is_modularity_over_its_maximum(
    unbalanced: tuple[NeighbourGraph, Labels, NDArray[np.float32]],
) -> None:
    graph, truth, _ = unbalanced
    a = np.bincount(truth, graph.degrees) / graph.total
    assert assortativity(graph, truth) == pytest.approx(1)
    assert modularity(graph, truth) == pytest.approx(1 - (a**2).sum())
    assert assortativity(graph, np.zeros_like(truth)) == 0
    pair = np.stack([truth, np.zeros_like(truth)])
    assert assortativity(graph, pair).tolist() == pytest.approx([1, 0])


def test_unbalanced_clusters_beat_equal_pieces_of_the_large_one(
    unbalanced: tuple[NeighbourGraph, Labels, NDArray[np.float32]],
) -> None:
    graph, truth, x = unbalanced
    pieces = KMeans(3, n_init=1, random_state=0).fit_predict(x[:600])
    cut = np.concatenate([pieces, truth[600:] + 2]).astype(np.int64)
    even = np.arange(len(truth)) % 3
    assert modularity(graph, cut) > modularity(graph, truth), "which the old objective chose"
    assert separation(graph, truth) > separation(graph, cut) + 0.1
    assert separation(graph, even) == pytest.approx(LOWEST, abs=0.01)


def test_separation_is_1_for_many_clusters_without_an_edge_between_them() -> None:
    x, y = blobs([100] * 4)
    graph = scored_graph(x, fingerprint="four")
    assert separation(graph, y) == pytest.approx(np.sqrt(3 / 4), abs=0.01)
    assert separation(graph, y // 2) == pytest.approx(np.sqrt(1 / 2), abs=0.01)
    assert separation(graph, np.zeros_like(y)) == LOWEST


def test_separation_by_hand() -> None:
    """Two pairs, each other's neighbours, of which a partition cuts one."""
    graph = NeighbourGraph(
        index=np.arange(4),
        neighbours=np.array([[1], [0], [3], [2]], dtype=np.int32),
        weights=np.ones((4, 1)),
        degrees=np.ones(4),
        reference=Reference(np.array([0.1, 2.0]), np.array([0.25, 0.25])),
    )
    labels = np.array([[0, 0, 1, 1], [0, 0, 0, 1]])
    entropy = mass_entropy(labels)
    assert entropy == pytest.approx([np.log(2), 0.75 * np.log(4 / 3) + 0.25 * np.log(4)])
    # the second has half of its edges inside, 1 - (9 + 1) / 16 at most: r = (1/2 - 5/8) / (3/8)
    assert assortativity(graph, labels) == pytest.approx([1, -1 / 3])
    assert separation(graph, labels) == pytest.approx([np.sqrt(1 / 2), LOWEST])


def test_separation_without_a_reference_is_refused() -> None:
    x, y = blobs([30, 30])
    with pytest.raises(ValueError, match="no reference"):
        separation(neighbour_graph(x, fingerprint="x"), y)


def test_replicas_without_clusters_have_the_lowest_score(
    unbalanced: tuple[NeighbourGraph, Labels, NDArray[np.float32]],
) -> None:
    graph, truth, _ = unbalanced
    log_proba = np.log(np.full((3, len(graph), 3), 1e-9))
    log_proba[0, np.arange(len(graph)), truth] = 0
    log_proba[1, :, 0] = 0
    log_proba[2] = np.nan
    scores = evaluate(graph, log_proba)
    assert scores.score.tolist() == [pytest.approx(float(separation(graph, truth))), -0.1, -0.1]
    assert lowest_score(graph) == -0.1
    plain = graph.with_reference(None)
    assert evaluate(plain, log_proba).score.tolist() == [
        pytest.approx(float(modularity(graph, truth))),
        0,
        0,
    ]
