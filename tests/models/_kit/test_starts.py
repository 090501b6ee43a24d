"""Starts on a device are those on the CPU, up to their random numbers."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from tuner.models._kit import mixtures, starts
from tuner.models._kit.starts import kmeans_partition


def blobs(points: int = 150) -> Tensor:
    draws = torch.randn(points, 3, generator=torch.Generator().manual_seed(0))
    return 4 * torch.eye(3)[torch.arange(points) % 3] + 0.3 * draws


def test_k_means_on_a_device_finds_what_scikit_learn_finds() -> None:
    x = blobs()
    ours, theirs = starts._kmeans_on_device(x, 3, 0), kmeans_partition(x, 3, 0)
    assert ours.dtype == theirs.dtype
    pairs = torch.stack([ours, theirs], dim=1)
    assert len(pairs.unique(dim=0)) == len(theirs.unique()) == 3
    assert torch.equal(ours, starts._kmeans_on_device(x, 3, 0))


def test_many_points_are_partitioned_by_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x, fit = blobs(), KMeans.fit
    sizes: list[int] = []

    def counted(self: KMeans, points: NDArray[np.float32]) -> KMeans:
        sizes.append(len(points))
        return fit(self, points)

    whole = kmeans_partition(x, 3, 0)
    monkeypatch.setattr(mixtures, "_MANY", 40)
    monkeypatch.setattr(KMeans, "fit", counted)
    labels = kmeans_partition(x, 3, 0)
    assert sizes == [40]
    assert len(torch.stack([labels, whole], dim=1).unique(dim=0)) == 3
