"""Mixtures against torch's densities and scikit-learn's estimators."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from tuner.models._kit import mixtures
from tuner.models._kit.distributions import diagonal_normal
from tuner.models._kit.draws import Draws
from tuner.models._kit.mixtures import (
    Components,
    GaussianMixture,
    fit_kmeans,
    fit_mixture,
    refit_mixture,
    some_of_many,
)


def blobs(replicas: int = 2, n: int = 300, features: int = 3, apart: float = 8.0) -> Tensor:
    """Return points (R, N, D) of three correlated Gaussians, other points for every replica."""
    g = torch.Generator().manual_seed(1)
    centres = apart * torch.eye(3, features)
    mix = torch.eye(features) + 0.5 * torch.randn(features, features, generator=g)
    noise = torch.randn(replicas, n, features, generator=g) @ mix
    return centres[torch.arange(n) % 3] + noise


def random_mixture() -> GaussianMixture:
    g = torch.Generator().manual_seed(2)
    mixture = GaussianMixture(2, 4, 3)
    mixture.log_weights.copy_(torch.randn(2, 4, generator=g).log_softmax(1))
    mixture.means.copy_(3 * torch.randn(2, 4, 3, generator=g))
    tril = torch.randn(2, 4, 3, 3, generator=g).tril(-1)
    mixture.scale_tril.copy_(tril + torch.diag_embed(0.3 + torch.rand(2, 4, 3, generator=g)))
    return mixture


def by_torch(mixture: GaussianMixture) -> MultivariateNormal:
    return MultivariateNormal(
        mixture.means.unsqueeze(1), scale_tril=mixture.scale_tril.unsqueeze(1)
    )


def best(fitted: tuple[Components, Tensor]) -> Components:
    components, value = fitted
    return components.select_start(value.argmax(dim=1))


def test_densities_are_torch_s() -> None:
    mixture, z = random_mixture(), blobs(apart=2.0)
    expected = mixture.log_weights.unsqueeze(1) + by_torch(mixture).log_prob(z.unsqueeze(2))
    torch.testing.assert_close(mixture.log_joint(z), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(mixture.log_prob(z), expected.logsumexp(2), rtol=1e-4, atol=1e-3)
    assert mixture.log_responsibilities(z).exp().sum(2).allclose(torch.ones(2, 300))


def test_cross_entropy_less_entropy_is_the_divergence() -> None:
    mixture, mean = random_mixture(), blobs(n=20)
    q = diagonal_normal(mean, 0.1 + mean.square())
    full = MultivariateNormal(
        q.base_dist.mean.unsqueeze(2), scale_tril=q.base_dist.stddev.diag_embed().unsqueeze(2)
    )
    expected = kl_divergence(full, by_torch(mixture))
    found = mixture.cross_entropy(q, mixture.whitening()) - q.entropy().unsqueeze(2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_placed_codes_have_the_component_s_moments() -> None:
    mixture = random_mixture()
    z = mixture.sample_component(2, Draws([0, 1]).normal(20_000, 3))
    torch.testing.assert_close(z.mean(1), mixture.means[:, 2], atol=0.05, rtol=0)
    scale = mixture.scale_tril[:, 2]
    expected = scale @ scale.transpose(1, 2)
    found = torch.stack([replica.T.cov() for replica in z])
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_fit_finds_scikit_learn_s_optimum(covariance: str) -> None:
    z = blobs()
    fitted = best(fit_mixture(z, 3, Draws([0, 1]), starts=4, covariance=covariance))
    for r in range(2):
        theirs = ScikitMixture(3, covariance_type=covariance, n_init=4, tol=1e-6, random_state=0)
        theirs.fit(z[r].double().numpy())
        order = fitted.means[r].sum(1).argsort(), theirs.means_.sum(1).argsort()
        np.testing.assert_allclose(fitted.means[r][order[0]], theirs.means_[order[1]], atol=0.02)
        found = fitted.covariances[r][order[0]]
        expected = theirs.covariances_[order[1]]
        if covariance == "diag":
            assert torch.equal(found, found.diagonal(dim1=1, dim2=2).diag_embed())
            found = found.diagonal(dim1=1, dim2=2)
        np.testing.assert_allclose(found, expected, atol=0.03)


def test_likelihood_is_that_of_the_mixture_and_never_falls() -> None:
    z, values = blobs(apart=2.0), []
    for iterations in range(1, 30):
        fitted, value = fit_mixture(z, 3, Draws([0, 1]), starts=2, iterations=iterations)
        values.append(value)
    steps = torch.stack(values).diff(dim=0)
    assert steps.min() > -1e-3  # the ridge on the variances is not part of the likelihood
    assert steps.sum() > 0.01
    mixture = GaussianMixture(2, 3, 3)
    mixture.copy_from(fitted.select_start(torch.tensor([1, 1])))
    torch.testing.assert_close(
        mixture.log_prob(z).mean(1).double(), values[-1][:, 1], atol=2e-3, rtol=0
    )


def test_a_replica_alone_fits_as_in_company() -> None:
    z = blobs(replicas=3, apart=3.0)
    together, value = fit_mixture(z, 4, Draws([5, 6, 7]), starts=3)
    alone, own = fit_mixture(z[1:2], 4, Draws([6]), starts=3)
    torch.testing.assert_close(alone.covariances[0], together.covariances[1])
    torch.testing.assert_close(own[0], value[1])


def test_distance_from_the_origin_costs_no_digits() -> None:
    z = blobs().double()
    near, value = fit_mixture(z, 3, Draws([0, 1]))
    far, shifted = fit_mixture(z * 1e-3 + 100, 3, Draws([0, 1]))
    torch.testing.assert_close(shifted - 3 * math.log(1e3), value, atol=1e-4, rtol=0)
    torch.testing.assert_close(far.covariances * 1e6, near.covariances, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "z",
    [
        torch.ones(1, 40, 3),
        torch.arange(40.0).view(1, 40, 1).expand(1, 40, 3),
        torch.cat([blobs(1, 40), torch.full((1, 40, 1), 7.0)], dim=2),
        blobs(1, 4),
        blobs(1, 2),
        torch.ones(1, 40, 3).index_fill(1, torch.tensor([0]), 1e6),
    ],
    ids=["equal", "line", "constant feature", "one point each", "fewer points", "outlier"],
)
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_degenerate_points_leave_a_proper_mixture(z: Tensor, covariance: str) -> None:
    mixture = GaussianMixture(1, 4, z.shape[2])
    mixture.copy_from(best(fit_mixture(z, 4, Draws([0]), starts=3, covariance=covariance)))
    assert all(tensor.isfinite().all() for tensor in mixture.state_dict().values())
    assert mixture.log_responsibilities(z).exp().sum(2).allclose(torch.ones(1, z.shape[1]))
    mixture.copy_from(best(refit_mixture(z, mixture, covariance=covariance)))
    assert mixture.log_prob(z).isfinite().all()
    assert fit_kmeans(z, 4, Draws([0])).isfinite().all()


def test_a_component_without_points_keeps_its_mean() -> None:
    z = blobs(1)
    mixture = GaussianMixture(1, 4, 3)
    mixture.copy_from(best(fit_mixture(z, 4, Draws([0]))))
    mixture.means[0, 2] = torch.tensor([500.0, 0.0, 0.0])
    mixture.copy_from(best(refit_mixture(z, mixture)))
    torch.testing.assert_close(mixture.means[0, 2], torch.tensor([500.0, 0.0, 0.0]))
    assert mixture.log_weights[0, 2] < -10


def test_codes_that_are_not_finite_make_a_mixture_that_shows_it() -> None:
    z = blobs()
    z[1, 7] = math.nan
    mixture = GaussianMixture(2, 3, 3)
    mixture.copy_from(best(fit_mixture(z, 3, Draws([0, 1]))))
    answer = mixture.log_responsibilities(blobs())
    assert answer[0].isfinite().all()
    assert answer[1].isnan().all()


def test_refit_keeps_the_numbers_of_the_components() -> None:
    z = blobs()
    mixture = GaussianMixture(2, 3, 3)
    mixture.copy_from(best(fit_mixture(z, 3, Draws([0, 1]), starts=4)))
    before = mixture.log_joint(z).argmax(2)
    mixture.copy_from(best(refit_mixture(z + 0.3, mixture)))
    assert (mixture.log_joint(z + 0.3).argmax(2) == before).float().mean() > 0.99


def test_kmeans_is_scikit_learn_s() -> None:
    z = blobs(n=301)
    centres = fit_kmeans(z, 3, Draws([0, 1]))
    for r in range(2):
        theirs = KMeans(3, n_init=10, random_state=0).fit(z[r].numpy())
        expected = theirs.cluster_centers_[theirs.cluster_centers_.sum(1).argsort()]
        np.testing.assert_allclose(centres[r][centres[r].sum(1).argsort()], expected, atol=1e-3)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_points_in_chunks_fit_as_all_at_once(
    monkeypatch: pytest.MonkeyPatch, covariance: str
) -> None:
    z = blobs()

    def fits() -> list[Tensor]:
        fitted, value = fit_mixture(z, 3, Draws([1, 2]), starts=2, covariance=covariance)
        mixture = GaussianMixture(2, 3, 3)
        mixture.copy_from(fitted.select_start(torch.zeros(2, dtype=torch.long)))
        again, _ = refit_mixture(z, mixture, covariance=covariance, iterations=1)
        centres = fit_kmeans(z, 3, Draws([1, 2]), starts=2)
        return [value, fitted.means, fitted.covariances, again.means, again.covariances, centres]

    at_once = fits()
    monkeypatch.setattr(mixtures, "_CHUNK", 70)  # the last chunk is smaller
    torch.testing.assert_close(fits(), at_once)


def test_many_points_are_represented_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(50.0).unsqueeze(1)
    assert some_of_many(x, 3) is x
    monkeypatch.setattr(mixtures, "_MANY", 20)
    some = some_of_many(x, 3).flatten()
    assert len(set(some.tolist())) == 20
    assert not torch.equal(some, some_of_many(x, 4).flatten())
    torch.testing.assert_close(some, some_of_many(x, 3).flatten())


def test_fits_that_ask_rarely_whether_they_converged_end_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    z = blobs(n=301)
    often = fit_mixture(z, 3, Draws([0, 1]), starts=3), fit_kmeans(z, 3, Draws([0, 1]))
    monkeypatch.setattr(mixtures, "_may_ask", lambda iteration, device: iteration % 10 == 9)
    rarely = fit_mixture(z, 3, Draws([0, 1]), starts=3), fit_kmeans(z, 3, Draws([0, 1]))
    assert torch.equal(often[1], rarely[1])
    for one, other in zip(vars(often[0][0]).values(), vars(rarely[0][0]).values(), strict=True):
        assert torch.equal(one, other)
