import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from tuner.errors import DataError, UsageError
from tuner.evaluation import graph as graphs
from tuner.evaluation import objective
from tuner.evaluation.separation import modularity
from tuner.study.study import OBJECTIVES

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def digits() -> tuple[Array, NDArray[np.int64]]:
    data = load_digits()
    return (data.data / 16).astype(np.float32)[:1437], data.target[:1437].astype(np.int64)


@pytest.fixture(scope="module")
def graph(digits: tuple[Array, NDArray[np.int64]]) -> graphs.NeighbourGraph:
    return graphs.neighbour_graph(digits[0], fingerprint="digits")


def dense(graph: graphs.NeighbourGraph) -> NDArray[np.float64]:
    n = len(graph)
    w = np.zeros((n, n))
    for i, (row, weights) in enumerate(zip(graph.neighbours, graph.weights, strict=True)):
        for j, weight in zip(row, weights, strict=True):
            w[i, j] += weight / 2
            w[j, i] += weight / 2
    return w


def test_weights_are_the_overlap_of_neighbourhoods() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    graph = graphs.neighbour_graph(x, fingerprint="a", k=4)
    distances = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    hoods = [{i, *np.argsort(row)[:4].tolist()} for i, row in enumerate(distances)]
    for i in range(40):
        assert {i, *graph.neighbours[i].tolist()} == hoods[i]
        for j, weight in zip(graph.neighbours[i], graph.weights[i], strict=True):
            assert weight == pytest.approx(len(hoods[i] & hoods[j]) / len(hoods[i] | hoods[j]))


def test_modularity_equals_its_definition_and_networkx() -> None:
    import networkx

    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    graph = graphs.neighbour_graph(x, fingerprint="a", k=5)
    w = dense(graph)
    np.testing.assert_allclose(w.sum(axis=1), graph.degrees)
    labels = rng.integers(0, 4, (3, 60))
    q = modularity(graph, labels)
    network = networkx.from_numpy_array(w)
    for row, value in zip(labels, q, strict=True):
        same = row[:, None] == row[None]
        expected = (w - np.outer(graph.degrees, graph.degrees) / graph.total)[same].sum()
        assert value == pytest.approx(expected / graph.total)
        sets = [set(np.flatnonzero(row == c).tolist()) for c in range(4)]
        assert value == pytest.approx(networkx.community.modularity(network, sets))
        assert modularity(graph, row) == pytest.approx(value)


def test_one_cluster_scores_nothing_and_random_ones_nearly_so(
    graph: graphs.NeighbourGraph,
) -> None:
    assert modularity(graph, np.zeros(len(graph), dtype=int)) == pytest.approx(0)
    labels = np.random.default_rng(0).integers(0, 10, (20, len(graph)))
    assert abs(modularity(graph, labels).mean()) < 0.005


def test_the_truth_beats_k_means_on_digits(
    graph: graphs.NeighbourGraph, digits: tuple[Array, NDArray[np.int64]]
) -> None:
    kmeans = KMeans(10, n_init=10, random_state=0).fit_predict(digits[0].reshape(len(graph), -1))
    truth = modularity(graph, digits[1])
    assert truth > modularity(graph, kmeans) + 0.03


def test_louvain_is_above_the_truth_and_repeats(
    graph: graphs.NeighbourGraph, digits: tuple[Array, NDArray[np.int64]]
) -> None:
    labels = graphs.louvain(graph, seed=0)
    assert labels.shape == (len(graph),)
    assert modularity(graph, labels) > modularity(graph, digits[1])
    assert (graphs.louvain(graph, seed=0) == labels).all()


def test_the_sample_depends_on_the_fingerprint_alone() -> None:
    x = np.random.default_rng(0).normal(size=(300, 2, 2)).astype(np.float32)
    a, b, c = (graphs.neighbour_graph(x, fingerprint=f, limit=100) for f in ("one", "one", "two"))
    assert (a.index == b.index).all()
    assert (a.neighbours == b.neighbours).all()
    assert (a.index != c.index).any()
    assert len(set(a.index.tolist())) == len(a) == 100
    whole = graphs.neighbour_graph(x, fingerprint="one")
    assert (whole.index == np.arange(300)).all()
    state = np.random.get_state()[1]  # noqa: NPY002  the global state must be left alone
    graphs.sample_indices(1000, "three", 10)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_wide_data_are_compared_in_their_first_components() -> None:
    rng = np.random.default_rng(0)
    narrow = rng.normal(size=(200, 8)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(120, 8)))[0].astype(np.float32)
    wide = narrow @ rotation.T
    a = graphs.neighbour_graph(narrow, fingerprint="a")
    b = graphs.neighbour_graph(wide, fingerprint="a")
    assert graphs.reduce_dimensions(wide).shape == (200, 50)
    assert (np.sort(a.neighbours) == np.sort(b.neighbours)).mean() > 0.99


def test_a_graph_is_cheap_to_send(graph: graphs.NeighbourGraph) -> None:
    sent = pickle.loads(pickle.dumps(graph))
    labels = np.arange(len(graph)) % 7
    assert modularity(sent, labels) == modularity(graph, labels)
    assert len(pickle.dumps(graph)) < 250_000


def test_few_points_equal_points_and_none() -> None:
    few = graphs.neighbour_graph(np.zeros((4, 2), dtype=np.float32), fingerprint="a")
    assert few.neighbours.shape == (4, 1)
    assert np.isfinite(modularity(few, [0, 0, 1, 1]))
    equal = graphs.neighbour_graph(np.ones((50, 2), dtype=np.float32), fingerprint="a")
    assert np.isfinite(modularity(equal, np.arange(50) % 2))
    with pytest.raises(
        DataError, match="2 points are too few for a neighbour graph: give at least 3"
    ):
        graphs.neighbour_graph(np.zeros((2, 2), dtype=np.float32), fingerprint="a")


def log_proba(labels: NDArray[np.int64], K: int) -> NDArray[np.float32]:
    p = np.full((*labels.shape, K), 0.1 / K)
    np.put_along_axis(p, labels[..., None], 0.9 + 0.1 / K, axis=-1)
    return np.log(p).astype(np.float32)


def test_partition_scores_per_replica(
    graph: graphs.NeighbourGraph, digits: tuple[Array, NDArray[np.int64]]
) -> None:
    truth = digits[1]
    labels = np.stack([truth, np.zeros_like(truth), truth, truth // 5])
    log_p = log_proba(labels, 10)
    log_p[2, 5, 3] = np.nan
    scores = objective.evaluate(graph, log_p)
    q = modularity(graph, labels)
    assert scores.score.tolist() == [q[0], 0, 0, q[3]]
    assert scores.collapsed.tolist() == [False, True, False, False]
    assert scores.diverged.tolist() == [False, False, True, False]
    assert scores.clusters_in_use.tolist() == [10, 1, 0, 2]
    assert scores.largest_mass[1] == 1
    assert scores.largest_mass[2] == scores.effective_k[2] == scores.entropy[2] == 0
    assert scores.effective_k[1] == pytest.approx(1)
    assert scores.effective_k[0] == pytest.approx(10, abs=0.1)
    p, rest = 0.9 + 0.01, 0.01
    entropy = -p * math.log(p) - 9 * rest * math.log(rest)
    assert scores.entropy[0] == pytest.approx(entropy, rel=1e-5)
    assert scores.value == pytest.approx((q[0] + q[3]) / 4)
    assert scores.sd == pytest.approx(np.std([q[0], 0, 0, q[3]], ddof=1))
    assert scores.best == 0
    assert all(math.isfinite(value) for value in scores.metrics().values())


def test_a_single_replica_has_no_spread(graph: graphs.NeighbourGraph) -> None:
    labels = np.arange(len(graph))[None] % 3
    scores = objective.evaluate(graph, log_proba(labels, 3))
    assert scores.sd == 0
    assert scores.agreement() == 1


def test_agreement_is_the_mean_ami() -> None:
    rng = np.random.default_rng(0)
    a, other = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    assert objective.agreement(np.stack([a, (a + 1) % 4])) == pytest.approx(1)
    assert objective.agreement(np.stack([a, a, other])) == pytest.approx(1 / 3, abs=0.02)


def test_answers_for_other_points_are_refused(graph: graphs.NeighbourGraph) -> None:
    with pytest.raises(ValueError, match="must be"):
        objective.evaluate(graph, np.zeros((2, 7, 3)))


@pytest.mark.parametrize(("n", "k"), [(3, 1), (9, 2), (39, 9), (40, 10), (100_000, 10)])
def test_few_points_have_few_neighbours(n: int, k: int) -> None:
    assert graphs.neighbour_count(n) == k


def test_nine_points_of_two_clusters_score_above_zero() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 5 + [1] * 4)
    x = (10 * labels[:, None] + rng.normal(size=(9, 2))).astype(np.float32)
    graph = graphs.neighbour_graph(x, fingerprint="a")
    assert float(modularity(graph, labels)) > 0.3


def test_objectives_by_name() -> None:
    assert OBJECTIVES[0] == "separation"
    labelled = [name for name in OBJECTIVES if objective.needs_labels(name)]
    assert labelled == ["acc", "nmi", "ami", "ari"]
    assert objective.audit_name("acc") == "hungarian"
    with pytest.raises(
        UsageError, match="unknown objective 'separated'; did you mean 'separation'"
    ):
        objective.needs_labels("separated")


@pytest.mark.slow
def test_the_truth_beats_merged_classes_and_k_means_on_mnist() -> None:
    here = Path(__file__).parents[3] / "../shared/data"
    raw = Path(os.environ.get("TUNER_DATA_HOME", here)) / "MNIST/raw"
    images = np.frombuffer((raw / "train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    classes = np.frombuffer((raw / "train-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    x = (images.reshape(-1, 28, 28) / np.float32(255)).astype(np.float32)
    graph = graphs.neighbour_graph(x, fingerprint="mnist")
    assert len(graph) == 20_000
    y = classes[graph.index].astype(np.int64)
    merged = np.array([np.where(y == a, b, y) for a in range(10) for b in range(a)])
    kmeans = KMeans(10, n_init=1, random_state=0).fit_predict(x[graph.index].reshape(len(y), -1))
    truth = modularity(graph, y)
    assert truth > modularity(graph, merged).max() + 0.005
    assert truth > modularity(graph, kmeans) + 0.05
