"""The graph by which starts are chosen."""

import torch

from tuner.models._kit.neighbours import modularity, neighbours


def test_modularity_of_two_pairs() -> None:
    nearest = torch.tensor([[1], [0], [3], [2]])
    labels = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
    assert modularity(labels, nearest, 2).tolist() == [0.5, -0.5, 0.0]


def test_neighbours_are_the_nearest_other_points() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    index, nearest = neighbours(x, k=2)
    assert index.tolist() == [0, 1, 2, 3, 4]
    assert [set(row) for row in nearest.tolist()] == [{1, 2}, {0, 2}, {0, 1}, {1, 2}, {2, 3}]
    index, nearest = neighbours(x, limit=3, k=10)
    assert index.tolist() == [0, 2, 4]
    assert nearest.shape == (3, 2)
