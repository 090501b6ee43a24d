"""The graph by which starts are chosen."""

import pytest
import torch

from tuner.models._kit.neighbours import assortativity, neighbours


def test_assortativity_of_two_pairs() -> None:
    nearest = torch.tensor([[1], [0], [3], [2]])
    labels = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
    assert assortativity(labels, nearest, 2).tolist() == [1.0, -1.0, 0.0]


def test_small_clusters_count_as_much_as_large_ones() -> None:
    """Cutting a large cluster in two must not win over finding the small one."""
    x = torch.cat([torch.randn(900, 2), torch.randn(30, 2) + 20])
    found = torch.arange(930) >= 900
    halved = x[:, 0] > x[:900, 0].median()
    _, nearest = neighbours(x)
    scores = assortativity(torch.stack([found, halved]).long(), nearest, 2)
    assert scores[0] == pytest.approx(1)
    assert scores[1] < 0.97


def test_neighbours_are_the_nearest_other_points() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    index, nearest = neighbours(x, k=2)
    assert index.tolist() == [0, 1, 2, 3, 4]
    assert [set(row) for row in nearest.tolist()] == [{1, 2}, {0, 2}, {0, 1}, {1, 2}, {2, 3}]
    index, nearest = neighbours(x, limit=3, k=10)
    assert index.tolist() == [0, 2, 4]
    assert nearest.shape == (3, 2)
