import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans

from tuner.data import load


@pytest.mark.parametrize(("name", "points"), [("arcs", 10_000), ("half_moons", 5_000)])
def test_five_equal_classes_in_the_plane(name, points):
    data = load(name)
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert data.shape == (2,)
    assert np.array_equal(np.bincount(labels), [points // 5] * 5)
    assert not data.unit_interval


def test_arcs_are_standardised_and_half_moons_keep_their_unit():
    assert np.allclose(load("arcs").train.std(axis=0), 1, atol=1e-4)
    moons = load("half_moons")
    assert np.array_equal(moons.preprocessor.invert(moons.train), moons.train)
    lower = moons.train[moons.train_labels == 0]
    assert np.isclose(np.linalg.norm(lower, axis=1).mean(), 2, atol=0.01)


@pytest.mark.parametrize("name", ["arcs", "half_moons"])
def test_the_same_on_every_call(name):
    assert load(name).fingerprint == load(name).fingerprint


@pytest.mark.parametrize("name", ["arcs", "half_moons"])
def test_classes_do_not_touch(name):
    data = load(name)
    x = data.preprocessor.invert(data.train)
    trees = [cKDTree(x[data.train_labels == k]) for k in range(5)]
    apart = min(trees[k].query(x[data.train_labels != k])[0].min() for k in range(5))
    within = max(tree.query(tree.data, k=2)[0][:, 1].max() for tree in trees)
    assert apart > 1.2 * within


@pytest.mark.parametrize("name", ["arcs", "half_moons"])
def test_k_means_does_not_find_them(name):
    data = load(name)
    clusters = KMeans(5, n_init=10, random_state=0).fit_predict(data.train)
    table = np.zeros((5, 5), int)
    np.add.at(table, (clusters, data.train_labels), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    assert 0.6 < table[rows, columns].sum() / len(clusters) < 0.9


def test_arcs_lie_on_circles():
    data = load("arcs")
    x = data.preprocessor.invert(data.train)
    for k, turn in enumerate(2 * np.pi * np.arange(5) / 5):
        own = x[data.train_labels == k]
        radius = np.linalg.norm(own - [np.cos(turn), np.sin(turn)], axis=1)
        assert np.isclose(radius.mean(), 0.8, atol=0.01)
        assert np.isclose(radius.std(), 0.03, atol=0.005)
