"""A Gaussian mixture on the input space."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor

from tuner.models.gmm import GMM, GMMConfig

from .test_vae_gmm import blobs


def fitted(x: Tensor, config: GMMConfig, seeds: tuple[int, ...] = (0, 1)) -> GMM:
    method = GMM(config, tuple(x.shape[1:]), seeds)
    (report,) = method.fit(x)
    assert report.epoch == 1
    assert report.clusters
    return method


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_results_match_scikit_learn(covariance: str) -> None:
    x, y = blobs()
    method = fitted(x, GMMConfig(n_components=3, covariance=covariance), seeds=(7,))
    theirs = ScikitMixture(3, covariance_type=covariance, reg_covar=1e-3, random_state=7)
    theirs.fit(x.double().numpy())
    (clusterer,) = method.clusterers()
    np.testing.assert_allclose(
        clusterer.predict_proba(x), theirs.predict_proba(x.double().numpy()), atol=1e-4
    )
    np.testing.assert_allclose(
        clusterer.elbo(x), theirs.score_samples(x.double().numpy()), rtol=1e-3, atol=1e-3
    )
    assert adjusted_rand_score(y, clusterer.predict(x)) > 0.95


def test_samples_have_the_moments_of_the_component() -> None:
    x, _ = blobs()
    method = fitted(x.view(300, 2, 2), GMMConfig(n_components=3))
    clusterer = method.clusterers()[1]
    drawn = clusterer.sample(2, 5000, seed=3)
    assert drawn.shape == (5000, 2, 2)
    assert torch.equal(drawn, clusterer.sample(2, 5000, seed=3))
    assert (clusterer.predict(drawn) == 2).float().mean() > 0.99
    torch.testing.assert_close(
        drawn.flatten(1).mean(0), method.mixture.means[1, 2], atol=0.05, rtol=0
    )


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
@pytest.mark.parametrize("x", [torch.ones(20, 3), torch.eye(3).repeat(4, 1), torch.eye(6, 3)])
def test_degenerate_points_keep_a_proper_density(x: Tensor, covariance: str) -> None:
    method = fitted(x, GMMConfig(n_components=5, covariance=covariance))
    assert method.predict_log_proba(x).isfinite().all()
    assert method.clusterers()[0].elbo(x).isfinite().all()


def test_regularisation_is_relative() -> None:
    x, _ = blobs()
    config = GMMConfig(n_components=3, regularisation=0.3)
    small, large = fitted(x, config), fitted(1000 * x, config)
    torch.testing.assert_close(
        small.predict_log_proba(x).exp(),
        large.predict_log_proba(1000 * x).exp(),
        atol=1e-3,
        rtol=0,
    )


def test_a_finished_fit_is_not_repeated_after_restore() -> None:
    x, _ = blobs()
    first = fitted(x, GMMConfig(n_components=3))
    second = GMM(GMMConfig(n_components=3), (4,), [5, 6])
    second.restore(first.state())
    assert list(second.fit(x)) == []
    assert torch.equal(second.predict_log_proba(x), first.predict_log_proba(x))
