"""A VAE with soft k-means: loss, schedule, clusters and metrics of collapse."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from tuner.methods.contract import Report
from tuner.models._kit.distributions import rsample
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import initialise, replica
from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models.gmm_prior_vae import GMMPriorVAEConfig
from tuner.models.soft_kmeans_vae import (
    SoftKMeansVAE,
    SoftKMeansVAEClusterer,
    SoftKMeansVAEConfig,
    SoftKMeansVAENetwork,
)
from tuner.testing import suite, training
from tuner.testing.subject import Subject

from .test_gmm_prior_vae import mixture, numbers, reference
from .test_vae_gmm import blobs

CONFIG = SoftKMeansVAEConfig(
    n_components=3,
    latent_size=2,
    hidden_size=32,
    likelihood="gaussian",
    pretraining_epochs=10,
    pretraining_learning_rate=1e-2,
    pretraining_batch_size=64,
    epochs=10,
    batch_size=64,
)


def network(prior: str = "standard", features: int = 2) -> SoftKMeansVAENetwork:
    config = replace(CONFIG, prior=prior, latent_size=features, hidden_size=8, hidden_layers=1)
    made = SoftKMeansVAENetwork(2, (4,), replace(config, scale=0.5))
    initialise(made, Draws([3, 4]))
    if prior == "gmm":
        made.mixture.load_state_dict(mixture(features).state_dict())
    made.centres.data = numbers(2, 3, features, seed=7)
    return made


def trained(config: SoftKMeansVAEConfig, seeds: list[int]) -> tuple[SoftKMeansVAE, list[Report]]:
    method = SoftKMeansVAE(config, (4,), seeds)
    return method, list(method.fit(blobs()[0]))


@pytest.mark.parametrize("prior", ["standard", "gmm"])
def test_the_loss_matches_a_loop_over_points_and_centres(prior: str) -> None:
    made, x = network(prior), numbers(2, 9, 4, seed=5)
    metrics = made.loss(x, Draws([0, 1]), torch.tensor(0.3))
    z, centres = rsample(made.vae.encode(x), Draws([0, 1])).tolist(), made.centres.tolist()
    for r in range(2):
        total = 0.0
        for point in z[r]:
            squares = [math.dist(point, centre) ** 2 for centre in centres[r]]
            weights = [math.exp(-square) for square in squares]
            total += sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
        assert metrics["cluster_loss"][r].item() == pytest.approx(total / 9, rel=1e-4)
    expected = 0.3 * metrics["cluster_loss"] + metrics["kl"] - metrics["reconstruction"]
    torch.testing.assert_close(metrics["loss"], expected)
    torch.testing.assert_close(metrics["elbo"], metrics["reconstruction"] - metrics["kl"])


def test_the_gradient_includes_the_soft_assignments() -> None:
    made, x = network(), numbers(2, 9, 4, seed=5)
    z = rsample(made.vae.encode(x), Draws([0, 1])).detach()
    made.loss(x, Draws([0, 1]), torch.tensor(0.3))["cluster_loss"].sum().backward()
    centres = made.centres.detach().clone().requires_grad_()
    squares = torch.cdist(z, centres).square()
    (torch.softmax(-squares, dim=2) * squares).sum(2).mean(1).sum().backward()
    torch.testing.assert_close(made.centres.grad, centres.grad)


def test_without_a_weight_the_loss_is_that_of_the_vae() -> None:
    made, x = network(), numbers(2, 9, 4, seed=5)
    ours, standard = (
        made.loss(x, Draws([0, 1]), torch.tensor(0.0)),
        made.vae.standard_bound(x, Draws([0, 1])),
    )
    for name, value in standard.items():
        torch.testing.assert_close(ours[name], value)


def test_the_code_scale_is_the_spread_of_the_drawn_codes() -> None:
    made, x = network(), numbers(2, 50, 4, seed=5)
    z = rsample(made.vae.encode(x), Draws([0, 1]))
    expected = z.var(1, correction=0).sum(1).sqrt()
    torch.testing.assert_close(
        made.loss(x, Draws([0, 1]), torch.tensor(1.0))["code_scale"], expected
    )


def test_responsibilities_are_a_softmax_of_squared_distances() -> None:
    made, z = network(), numbers(2, 20, 2)
    squares = torch.cdist(z, made.centres).square()
    torch.testing.assert_close(made.log_responsibilities(z).exp(), torch.softmax(-squares, dim=2))


def test_the_centres_are_the_means_of_a_mixture_prior() -> None:
    made, z = network("gmm"), numbers(2, 20, 2)
    for r in range(2):
        torch.testing.assert_close(made.log_prior(z)[r], reference(made.mixture, r).log_prob(z[r]))
    assert made.centres is made.mixture.means
    standard = -0.5 * z.square().sum(2) - math.log(2 * math.pi)
    torch.testing.assert_close(network().log_prior(z), standard)


@pytest.mark.parametrize("prior", ["standard", "gmm"])
def test_the_bound_is_below_the_log_likelihood_under_its_prior(prior: str) -> None:
    made, x = network(prior, 1), numbers(12, 4, seed=6)
    z = torch.linspace(-15, 15, 6001).view(1, -1, 1).expand(2, -1, 1)
    standard = torch.distributions.Normal(0.0, 1.0)
    with torch.no_grad():
        p = made.vae.decode(z)
        log_x = torch.stack([p.log_prob(point) for point in x], dim=1)
        log_z = standard.log_prob(z[..., 0])
        if prior == "gmm":
            log_z = torch.stack([reference(made.mixture, r).log_prob(z[r]) for r in range(2)])
        evidence = (log_x + log_z.unsqueeze(1)).logsumexp(2) + math.log(30 / 6000)
        clusterers = [
            SoftKMeansVAEClusterer(made.config, (4,), replica(made.state_dict(), r, 2))
            for r in range(2)
        ]
        elbo = made.vae.elbo(x, numbers(2000, 1), made.log_prior)
    assert (elbo < evidence + 1e-3).all()
    for r in range(2):  # sixteen fixed draws
        assert (clusterers[r].elbo(x) - elbo[r]).mean().abs() < 0.3


def test_sampled_codes_have_the_variance_of_the_cluster() -> None:
    made, z = network(), 1.5 * numbers(2, 500, 2)
    shares, variances = made.cluster_moments(z)
    nearest = torch.cdist(z, made.centres).argmin(2)
    for r in range(2):
        for k in range(3):
            own = z[r][nearest[r] == k]
            expected = (own - made.centres[r, k]).square().mean(0)
            torch.testing.assert_close(variances[r, k], expected, atol=1e-5, rtol=1e-4)
            assert float(shares[r, k]) == pytest.approx(len(own) / 500, abs=1e-6)
    made.variances.copy_(variances)
    drawn = made.sample_cluster(2, numbers(2, 100_000, 2))
    torch.testing.assert_close(drawn.mean(1), made.centres[:, 2], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(1), variances[:, 2], atol=0, rtol=0.03)


def test_a_cluster_without_codes_has_the_variance_of_the_standard_normal() -> None:
    made = network()
    made.centres.data[:, 1] = 1e3
    shares, variances = made.cluster_moments(numbers(2, 50, 2))
    torch.testing.assert_close(variances[:, 1], torch.ones(2, 2))
    assert (shares[:, 1] < 1e-6).all()


def test_k_means_starts_the_centres() -> None:
    x, _ = blobs()
    method = SoftKMeansVAE(CONFIG, (4,), [0])
    list(method.pretraining.fit(x))
    method.network.initialise_clusters(x, Draws([0]))
    codes, centres = method.network.embed(x)[0], method.network.centres[0].detach()
    inertia = float(torch.cdist(codes, centres).min(1).values.square().sum())
    assert inertia == pytest.approx(KMeans(3, n_init=10, random_state=0).fit(codes).inertia_, 1e-3)


def test_the_mixture_starts_with_weights_and_variances_of_the_clusters() -> None:
    made, (x, _) = network("gmm"), blobs()
    made.initialise_clusters(x, Draws([0, 1]))
    shares, variances = made.cluster_moments(made.vae.sample_codes(x, Draws([8, 9])))
    torch.testing.assert_close(made.mixture.log_weights().exp(), shares, atol=0.1, rtol=0)
    torch.testing.assert_close(made.mixture.log_variances.exp(), variances, atol=0, rtol=0.5)


def test_lambda_rises_and_stays_constant() -> None:
    config = replace(CONFIG, pretraining_epochs=0, epochs=8, cluster_weight=2.0)
    _, reports = trained(config, [0, 1])
    weights = torch.stack([report.metrics["cluster_weight"] for report in reports])
    assert weights[:, 0].tolist() == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert torch.equal(weights[:, 0], weights[:, 1])
    at_once = trained(replace(config, warm_up=0.0, epochs=1), [0])[1]
    assert at_once[0].metrics["cluster_weight"].tolist() == [2.0]


@pytest.mark.parametrize("prior", ["standard", "gmm"])
def test_blobs_are_found_and_samples_are_assigned_to_them(prior: str) -> None:
    x, y = blobs()
    method, reports = trained(replace(CONFIG, prior=prior), [0, 1, 2])
    labels = method.predict_log_proba(x).argmax(2)
    chosen = int(assortativity(labels, neighbours(x)[1], 3).argmax())
    assert adjusted_rand_score(y, labels[chosen]) > 0.95
    clusterer = method.clusterers()[chosen]
    for cluster in range(3):
        drawn = clusterer.sample(cluster, 200, seed=1)
        assert (clusterer.predict(drawn) == cluster).float().mean() > 0.9
    assert [r.stage for r in reports] == ["pretraining"] * 10 + ["joint"] * 10


def test_a_collapse_under_a_large_weight_shows_in_the_metrics() -> None:
    good = trained(CONFIG, [0])[1][-1].metrics
    config = replace(CONFIG, cluster_weight=1e3, warm_up=0.0, learning_rate=1e-2, epochs=20)
    collapsed = trained(replace(config, pretraining_epochs=0), [0])[1][-1].metrics
    assert collapsed["code_scale"] < 0.2 * good["code_scale"]
    assert collapsed["cluster_loss"] < 0.2 * good["cluster_loss"]
    assert collapsed["assignment_entropy"] > 0.95 * math.log(3)
    assert collapsed["information"] < 0.05 < good["information"]
    assert collapsed["elbo"] < good["elbo"]


def test_uninformative_codes_shrink_to_the_analytic_optimum() -> None:
    """At centres 0, KL(N(0, s² I) ‖ N(0, I)) + λ E‖z‖² is minimal at s² = 1 / (1 + 2λ)."""
    made, x, weight = network(), torch.zeros(2, 4000, 4), 3.0
    made.centres.data.zero_()
    head = made.vae.posterior
    for layer in (head.mean, head.log_variance):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    head.log_variance.bias.data.fill_(-math.log(1 + 2 * weight))
    metrics = made.loss(x, Draws([0, 1]), torch.tensor(weight))
    (metrics["kl"] + weight * metrics["cluster_loss"]).sum().backward()
    assert head.log_variance.bias.grad.abs().max() < 0.1
    assert weight * metrics["cluster_loss"][0].item() == pytest.approx(6 / 7, rel=0.1)


def test_the_warm_up_is_shared_with_gmm_prior_vae() -> None:
    settings = {
        name: value
        for name, value in CONFIG.to_mapping().items()
        if name not in ("prior", "cluster_weight", "warm_up", "starts")
    }
    assert GMMPriorVAEConfig.from_mapping(settings).pretraining == CONFIG.pretraining


@pytest.mark.parametrize(
    "check",
    [
        training.gradients_reach_every_parameter,
        training.replicas_are_independent,
        training.training_resumes_exactly,
        training.divergence_does_not_raise,
    ],
)
def test_the_mixture_prior_keeps_the_contract(check: suite.Check) -> None:
    subject = Subject.of("soft_kmeans_vae")
    check(replace(subject, config=replace(subject.config, prior="gmm")))
