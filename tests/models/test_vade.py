"""Variational deep embedding: the bound against integrals, the mixture and the schedule."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Reference
from torch import Tensor
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from tuner.errors import DataError
from tuner.models._kit.bounds import antithetic_noise
from tuner.models._kit.distributions import diagonal_normal
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import initialise, replica
from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models._kit.trainable_mixture import TrainableMixture
from tuner.models.vade import VaDE, VaDEClusterer, VaDEConfig, VaDENetwork

from .test_vae_gmm import blobs

CONFIG = VaDEConfig(
    n_components=3,
    latent_size=2,
    hidden_sizes="32-32",
    output="identity",
    pretraining_epochs=10,
    pretraining_learning_rate=1e-2,
    pretraining_batch_size=64,
    joint_epochs=10,
    batch_size=64,
)
SEEDS = [3, 4]


def points(n: int = 12) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0))


def scattered(mixture: TrainableMixture, *, far: float = 0.0) -> TrainableMixture:
    draws = Draws([7])
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.copy_(draws.normal(*parameter.shape)[0])
        mixture.means.add_(far)
    return mixture


def network(**settings: object) -> VaDENetwork:
    made = VaDENetwork(2, (4,), replace(CONFIG, **settings))  # type: ignore[arg-type]
    initialise(made, Draws(SEEDS))
    scattered(made.mixture)
    return made


def prior(mixture: TrainableMixture) -> MixtureSameFamily:
    """Return p(z) from torch, batch shape (S,), for z (N, S, D)."""
    parts = Independent(Normal(mixture.means, (0.5 * mixture.log_variances).exp()), 1)
    return MixtureSameFamily(Categorical(logits=mixture.logits), parts)


def test_the_mixture_matches_torch_and_keeps_precision_far_from_the_origin() -> None:
    for far in (0.0, 300.0):
        mixture = scattered(TrainableMixture(2, 3, 5), far=far)
        z = Draws(SEEDS).normal(20, 5) + far
        expected = prior(mixture).log_prob(z.transpose(0, 1)).T
        torch.testing.assert_close(mixture.log_prob(z), expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(
            mixture.log_responsibilities(z).logsumexp(-1), torch.zeros(2, 20), atol=1e-5, rtol=0
        )


def test_the_expected_log_density_is_minus_divergence_minus_entropy() -> None:
    mixture = scattered(TrainableMixture(2, 3, 5))
    draws = Draws(SEEDS)
    z, q = draws.normal(8, 5), diagonal_normal(draws.normal(8, 5), draws.uniform(8, 5) + 0.1)
    at_z, expected = mixture.log_joint_and_expectation(z, q)
    torch.testing.assert_close(at_z, mixture.log_joint(z))
    for k in range(3):
        scale = (0.5 * mixture.log_variances[:, None, k]).exp()
        component = diagonal_normal(mixture.means[:, None, k].expand(2, 8, 5), scale)
        log_weight = mixture.logits.log_softmax(1)[:, None, k]
        by_hand = log_weight - kl_divergence(q, component) - q.entropy()
        torch.testing.assert_close(expected[..., k], by_hand, rtol=1e-4, atol=1e-4)


def paper_loss(made: VaDENetwork, x: Tensor, noise: Tensor) -> Tensor:
    """Return the loss of section 3.2, term by term, (S,), with z from `noise`."""
    h = made.autoencoder.encoder(x)
    m, log_s2 = made.autoencoder.code(h), made.log_variance(h)
    z = m + (0.5 * log_s2).exp() * noise
    mixture = made.mixture
    log_pi = mixture.logits.log_softmax(1).unsqueeze(1)
    mu, log_var = mixture.means.unsqueeze(1), mixture.log_variances.unsqueeze(1)
    density = Normal(mu, (0.5 * log_var).exp()).log_prob(z.unsqueeze(2)).sum(3)
    gamma = (log_pi + density).softmax(2)
    shift = (m.unsqueeze(2) - mu).square()
    ratio = (log_var + (log_s2.unsqueeze(2).exp() + shift) / log_var.exp()).sum(3)
    y = made.autoencoder.outputs(z)
    if made.autoencoder.bounded:
        p = y.sigmoid()
        reconstruction = (x * p.log() + (1 - x) * (1 - p).log()).sum(2)
    else:
        reconstruction = Normal(y, made.scale).log_prob(x).sum(2)
    kl = (
        0.5 * (gamma * ratio).sum(2)
        - 0.5 * (1 + log_s2).sum(2)
        - (gamma * (log_pi - gamma.log())).sum(2)
    )
    return (kl - reconstruction).mean(1)


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_the_bound_and_its_gradient_match_the_paper(output: str) -> None:
    made = network(output=output)
    x = points().sigmoid().expand(2, 12, 4)
    loss = made.bound(x, Draws(SEEDS))["loss"]
    expected = paper_loss(made, x, Draws(SEEDS).normal(12, 2))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    parameters = list(made.parameters())
    ours = torch.autograd.grad(loss.sum(), parameters)
    theirs = torch.autograd.grad(expected.sum(), parameters)
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
@torch.no_grad()
def test_bound_elbo_and_log_likelihood_are_ordered(output: str) -> None:
    made, n = network(output=output, latent_size=1, scale=0.5), 12
    x = points(n).sigmoid()
    z = torch.linspace(-12, 12, 4001).view(1, -1, 1).expand(2, -1, 1)
    log_x = torch.stack([made.decode(z).log_prob(point) for point in x], dim=1)
    log_joint = log_x + made.mixture.log_prob(z).unsqueeze(1)
    evidence = log_joint.logsumexp(2) + math.log(24 / 4000)
    elbo = made.elbo(x, Draws([0]).normal(500, 1)[0])
    assert (elbo < evidence + 1e-3).all()
    assert (evidence - elbo).max() < 4
    assert (made.elbo(x, antithetic_noise(1, x)) - elbo).abs().max() < 0.3

    draws, bound, divergence = Draws(SEEDS), torch.zeros(2), torch.zeros(2)
    for _ in range(50):
        terms = made.bound(x.repeat(20, 1).expand(2, 20 * n, 4), draws)
        bound, divergence = bound + terms["elbo"] / 50, divergence + terms["kl"] / 50
    assert (bound < elbo.mean(1) - 0.02).all()
    assert (bound > elbo.mean(1) - 2).all()
    assert (divergence > 0).all()


def test_the_mixture_starts_from_a_fit_on_the_codes() -> None:
    x, _ = blobs()
    method = VaDE(replace(CONFIG, joint_epochs=1, learning_rate=0.0), (4,), SEEDS)
    assert method.predict_log_proba(x).exp().allclose(torch.tensor(1 / 3))
    reports = list(method.fit(x))
    assert [report.clusters for report in reports] == [False] * 10 + [True]
    assert [report.stage for report in reports] == ["pretraining"] * 10 + ["joint"]
    codes = method.network.embed(x).detach()
    with torch.no_grad():
        found = method.network.mixture.log_prob(codes).mean(1)
    for r in range(2):
        fitted = Reference(3, covariance_type="diag", n_init=5, random_state=0).fit(codes[r])
        assert found[r].item() == pytest.approx(fitted.score(codes[r]), abs=0.05)


def test_the_learning_rate_decays_to_a_tenth() -> None:
    config = VaDEConfig()
    rates = [config.rate(done) for done in (1, 10, 11, 21, 219, 300)]
    assert rates == pytest.approx([2e-3, 2e-3, 1.8e-3, 1.62e-3, 2e-3 * 0.9**21, 2e-4])
    method = VaDE(replace(CONFIG, decay=0.5, decay_every=4), (4,), [0])
    x, _ = blobs(60)
    seen = [
        float(method.optimiser.param_groups[0]["lr"])
        for report in method.fit(x)
        if report.stage == "joint"
    ]
    assert seen == pytest.approx([2e-3] * 4 + [1e-3] * 4 + [5e-4] * 2)
    assert method.optimiser.param_groups[0]["eps"] == 1e-4


def test_a_cap_keeps_both_stages_and_half_of_the_passes_joint() -> None:
    def parts(epochs: int) -> tuple[int, int, int]:
        capped = VaDEConfig().capped(epochs)
        return capped.pretraining_epochs, capped.joint_epochs, capped.decay_every

    assert parts(350) == (50, 300, 10)
    assert parts(200) == (50, 150, 5)
    assert parts(20) == (10, 10, 1)
    assert parts(3) == (1, 2, 1)
    assert parts(1) == (0, 1, 1)
    assert VaDEConfig(joint_epochs=10).capped(59).passes == 59


def test_a_shared_pretrained_network_gives_the_same_result() -> None:
    x, _ = blobs(100)
    config = replace(CONFIG, pretraining_epochs=3, joint_epochs=3)
    method, other = VaDE(config, (4,), SEEDS), VaDE(config, (4,), SEEDS)
    left = [method.pretraining.result() for report in method.fit(x)]
    assert [result is None for result in left] == [True, True, False, True, True, True]
    assert left[2] is not None
    other.pretraining.load(left[2])
    reports = list(other.fit(x))
    assert [report.epoch for report in reports] == [4, 5, 6]
    assert torch.equal(other.predict_log_proba(x), method.predict_log_proba(x))


def test_training_raises_the_bound_and_finds_blobs_without_labels() -> None:
    x, y = blobs()
    method = VaDE(replace(CONFIG, batch_size=16), (4,), [0, 1, 2, 3])
    reports = [report for report in method.fit(x) if report.clusters]
    curve = torch.stack([report.metrics["elbo"] for report in reports])
    assert (curve[-1] > curve[0] + 1).all()
    labels = method.predict_log_proba(x).argmax(2)
    chosen = assortativity(labels, neighbours(x)[1], 3).argmax()
    assert adjusted_rand_score(y, labels[chosen]) > 0.95
    clusterer = method.clusterers()[int(chosen)]
    for cluster in range(3):
        drawn = clusterer.sample(cluster, 200, seed=1)
        assert (clusterer.predict(drawn) == cluster).float().mean() > 0.9
    assert (clusterer.reconstruct(x) - x).square().mean() < 0.3


def test_sampled_codes_have_the_moments_of_the_component_and_nothing_else_is_random() -> None:
    made = network()
    noise = Draws([1]).normal(20_000, 2)
    placed = made.mixture.sample_component(1, noise.expand(2, -1, -1))
    torch.testing.assert_close(placed.mean(1), made.mixture.means[:, 1], atol=0.05, rtol=0.05)
    variance = made.mixture.log_variances[:, 1].exp()
    torch.testing.assert_close(placed.var(1), variance, atol=0.05, rtol=0.05)

    before, x = torch.get_rng_state(), points(7)
    clusterer = VaDEClusterer(CONFIG, (2, 2), replica(made.state_dict(), 1, 2))
    square = x.view(7, 2, 2)
    torch.testing.assert_close(clusterer.predict_log_proba(square), made.predict_log_proba(x)[1])
    assert clusterer.reconstruct(square).shape == (7, 2, 2)
    assert torch.equal(clusterer.elbo(square), clusterer.elbo(square))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sigmoid_rejects_data_outside_the_unit_interval() -> None:
    method = VaDE(replace(CONFIG, output="sigmoid"), (4,), [0])
    with pytest.raises(DataError, match=r"output=identity"):
        next(method.fit(points()))
