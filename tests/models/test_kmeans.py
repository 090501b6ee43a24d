"""k-means on the input space."""

import pytest
import torch
from sklearn.cluster import KMeans as ScikitKMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from tuner.models._kit import mixtures
from tuner.models._kit.mixtures import GaussianMixture
from tuner.models.kmeans import KMeans, KMeansConfig

from .test_vae_gmm import blobs


def fitted(x: Tensor, k: int = 3, seeds: tuple[int, ...] = (0, 1)) -> KMeans:
    method = KMeans(KMeansConfig(n_components=k), tuple(x.shape[1:]), seeds)
    (report,) = method.fit(x)
    assert report.epoch == 1
    assert report.clusters
    return method


def test_partition_and_inertia_match_scikit_learn() -> None:
    x, _ = blobs()
    method = KMeans(KMeansConfig(n_components=5), (4,), [7])
    (report,) = method.fit(x)
    theirs = ScikitKMeans(5, n_init=10, random_state=7).fit(x.numpy())
    assert adjusted_rand_score(theirs.labels_, method.clusterers()[0].predict(x)) == 1
    assert report.metrics["inertia"].item() == pytest.approx(theirs.inertia_ / 300, rel=1e-4)


def test_probabilities_match_a_spherical_mixture() -> None:
    x, _ = blobs()
    method = fitted(x)
    mixture = GaussianMixture(2, 3, 4)
    mixture.means.copy_(method.centres)
    mixture.scale_tril.copy_(method.variance.sqrt().view(2, 1, 1, 1) * torch.eye(4))
    expected = mixture.log_responsibilities(x.expand(2, 300, 4))
    torch.testing.assert_close(method.predict_log_proba(x), expected, rtol=1e-3, atol=1e-3)
    labels = method.predict_log_proba(x).argmax(2)
    own = method.centres.gather(1, labels.unsqueeze(2).expand(2, 300, 4))
    torch.testing.assert_close(method.variance, (x - own).square().mean((1, 2)))


def test_every_point_is_assigned_to_its_nearest_centre() -> None:
    x = torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(0))
    method = fitted(x, k=6)
    expected = torch.cdist(x.flatten(1).expand(2, 200, 6), method.centres).argmin(2)
    assert torch.equal(method.predict_log_proba(x).argmax(2), expected)


@pytest.mark.parametrize("x", [torch.ones(20, 2), torch.eye(3).repeat(4, 1)])
def test_fewer_distinct_points_than_clusters(x: Tensor) -> None:
    answer = fitted(x, k=5).predict_log_proba(x)
    assert answer.isfinite().all()
    torch.testing.assert_close(answer.exp().sum(2), torch.ones(2, len(x)))


def test_a_finished_fit_is_not_repeated_after_restore() -> None:
    x, _ = blobs()
    first = fitted(x)
    second = KMeans(KMeansConfig(n_components=3), (4,), [5, 6])
    second.restore(first.state())
    assert list(second.fit(x)) == []
    assert torch.equal(second.predict_log_proba(x), first.predict_log_proba(x))


def test_a_schedule_of_one_pass() -> None:
    config = KMeansConfig()
    assert config.passes == 1
    assert config.capped(1) == config


def test_many_points_are_represented_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = blobs()
    sizes: list[int] = []
    replica = KMeans.fit_replica

    def counted(self: KMeans, r: int, points: Tensor) -> Tensor:
        sizes.append(len(points))
        return replica(self, r, points)

    monkeypatch.setattr(mixtures, "_MANY", 90)
    monkeypatch.setattr(KMeans, "fit_replica", counted)
    together = fitted(x).centres
    assert sizes == [90, 90]
    torch.testing.assert_close(fitted(x, seeds=(1,)).centres[0], together[1])
