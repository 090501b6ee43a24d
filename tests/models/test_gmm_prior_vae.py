"""A VAE with a trained mixture prior: bound, start and metrics of overlap."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from tuner.methods.contract import Report
from tuner.models._kit.distributions import rsample
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import initialise
from tuner.models._kit.mixtures import GaussianMixture
from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models._kit.prior_vae import assignment_metrics
from tuner.models._kit.trainable_mixture import TrainableMixture
from tuner.models.gmm_prior_vae import GMMPriorVAE, GMMPriorVAEConfig, GMMPriorVAENetwork
from tuner.testing import training
from tuner.testing.subject import Subject

from .test_vae_gmm import blobs

CONFIG = GMMPriorVAEConfig(
    n_components=3,
    latent_size=2,
    hidden_size=32,
    likelihood="gaussian",
    pretraining_epochs=10,
    pretraining_learning_rate=1e-2,
    pretraining_batch_size=64,
    epochs=10,
    learning_rate=1e-2,
    batch_size=64,
)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixture(features: int = 2) -> TrainableMixture:
    made = TrainableMixture(2, 3, features)
    made.logits.data = numbers(2, 3, seed=1)
    made.means.data = 2 * numbers(2, 3, features, seed=2)
    made.log_variances.data = numbers(2, 3, features, seed=3)
    return made


def reference(made: TrainableMixture, r: int) -> MixtureSameFamily:
    scales = made.log_variances[r].exp().sqrt()
    components = Independent(Normal(made.means[r], scales), 1)
    return MixtureSameFamily(Categorical(logits=made.logits[r]), components)


def network(features: int = 2) -> GMMPriorVAENetwork:
    config = replace(CONFIG, latent_size=features, hidden_size=8, hidden_layers=1, scale=0.5)
    made = GMMPriorVAENetwork(2, (4,), config)
    initialise(made, Draws([3, 4]))
    made.prior.load_state_dict(mixture(features).state_dict())
    return made


def trained(config: GMMPriorVAEConfig, seeds: list[int]) -> tuple[GMMPriorVAE, list[Report]]:
    method = GMMPriorVAE(config, (4,), seeds)
    return method, list(method.fit(blobs()[0]))


def test_prior_and_responsibilities_match_a_mixture() -> None:
    made, z = mixture(), numbers(2, 20, 2)
    for r in range(2):
        theirs = reference(made, r)
        torch.testing.assert_close(made.log_prob(z)[r], theirs.log_prob(z[r]))
        joint = theirs.component_distribution.log_prob(z[r].unsqueeze(1)) + (
            theirs.mixture_distribution.logits
        )
        torch.testing.assert_close(
            made.log_responsibilities(z)[r].exp(), joint.exp() / joint.exp().sum(1, keepdim=True)
        )


def test_a_start_copies_the_fitted_mixture() -> None:
    fitted, made, z = GaussianMixture(2, 3, 2), TrainableMixture(2, 3, 2), numbers(2, 20, 2)
    fitted.log_weights.copy_(numbers(2, 3, seed=1).log_softmax(1))
    fitted.means.copy_(numbers(2, 3, 2, seed=2))
    fitted.scale_tril.copy_(torch.diag_embed(numbers(2, 3, 2, seed=3).exp()))
    made.copy_from(fitted)
    torch.testing.assert_close(made.log_joint(z), fitted.log_joint(z))


def test_placed_codes_have_the_moments_of_the_component() -> None:
    made = mixture()
    z = made.sample_component(1, numbers(2, 200_000, 2))
    torch.testing.assert_close(z.mean(1), made.means[:, 1], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(1), made.log_variances[:, 1].exp(), atol=0, rtol=0.02)


def test_the_divergence_estimates_that_from_the_mixture() -> None:
    made, x = network(), numbers(6, 4, seed=5)
    batch = x.repeat(2000, 1).expand(2, -1, -1)
    with torch.no_grad():
        kl = made.bound(batch, Draws([0, 1]))["kl"]
        q = made.vae.encode(batch)
        z = rsample(q, Draws([8, 9]))
        for r in range(2):
            ours = Independent(Normal(q.base_dist.mean[r], q.base_dist.stddev[r]), 1)
            ratio = ours.log_prob(z[r]) - reference(made.prior, r).log_prob(z[r])
            error = ratio.std() / math.sqrt(len(ratio))
            assert abs(kl[r] - ratio.mean()) < 6 * error


def test_the_gradient_matches_the_sampled_log_ratio() -> None:
    made, x = network(), numbers(2, 6, 4, seed=5)
    made.bound(x, Draws([0, 1]))["loss"].sum().backward()
    got = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
    made.zero_grad()
    q = made.vae.encode(x)
    z = rsample(q, Draws([0, 1]))
    for r in range(2):
        p = made.vae.decode(z).base_dist
        log_x = Normal(p.mean[r], p.stddev[r]).log_prob(x[r]).sum(1)
        ours = Normal(q.base_dist.mean[r], q.base_dist.stddev[r]).log_prob(z[r]).sum(1)
        drawn = ours - reference(made.prior, r).log_prob(z[r]) - log_x
        drawn.mean().backward(retain_graph=True)
    assert set(got) == {name for name, _ in made.named_parameters()}
    for name, p in made.named_parameters():
        torch.testing.assert_close(got[name], p.grad, atol=1e-4, rtol=1e-4)


def test_the_bound_is_below_the_log_likelihood() -> None:
    made, x = network(1), numbers(12, 4, seed=6)
    z = torch.linspace(-15, 15, 6001).view(1, -1, 1).expand(2, -1, 1)
    with torch.no_grad():
        p = made.vae.decode(z)
        log_x = torch.stack([p.log_prob(point) for point in x], dim=1)
        log_z = torch.stack([reference(made.prior, r).log_prob(z[r]) for r in range(2)])
        evidence = (log_x + log_z.unsqueeze(1)).logsumexp(2) + math.log(30 / 6000)
        elbo = made.vae.elbo(x, numbers(2000, 1), made.log_prior)
        one_draw = torch.zeros(2)
        for seed in range(300):
            one_draw += made.bound(x.expand(2, -1, -1), Draws([seed, seed + 1]))["elbo"] / 300
    assert (elbo < evidence + 1e-3).all()
    torch.testing.assert_close(one_draw, elbo.mean(1), atol=0.4, rtol=0)


def test_blobs_are_found_and_the_mixture_raises_the_bound() -> None:
    x, y = blobs()
    method, reports = trained(CONFIG, [0, 1, 2, 3])
    labels = method.predict_log_proba(x).argmax(2)
    chosen = assortativity(labels, neighbours(x)[1], 3).argmax()
    assert adjusted_rand_score(y, labels[chosen]) > 0.95
    assert [r.stage for r in reports] == ["pretraining"] * 10 + ["joint"] * 10
    assert [r.clusters for r in reports] == [False] * 10 + [True] * 10
    assert (reports[-1].metrics["elbo"] > reports[9].metrics["elbo"] + 0.3).all()


def test_the_mixture_starts_at_the_codes_of_the_warmed_up_vae() -> None:
    x, _ = blobs()
    method = GMMPriorVAE(CONFIG, (4,), [0, 1])
    for report in method.fit(x):
        if report.epoch == CONFIG.pretraining_epochs:
            break
    before = method.network.vae.elbo(x, numbers(50, 2), lambda z: -0.5 * (z**2).sum(2))
    before = before.mean(1) - math.log(2 * math.pi)
    method.network.initialise_clusters(x, Draws([0, 1]))
    after = method.network.vae.elbo(x, numbers(50, 2), method.network.log_prior).mean(1)
    assert (after > before + 0.1).all()


def test_overlapping_clusters_and_a_single_cluster_have_no_information() -> None:
    overlap = torch.full((1, 30, 3), -math.log(3))
    single = torch.tensor([1.0, 1e-12, 1e-12]).log().expand(1, 30, 3)
    apart = (torch.eye(3).repeat(10, 1)[None] + 1e-12).log()
    informed = [assignment_metrics(log_r) for log_r in (overlap, single, apart)]
    found = [[float(m["assignment_entropy"]), float(m["information"])] for m in informed]
    assert found[0] == pytest.approx([math.log(3), 0], abs=1e-5)
    assert found[1] == pytest.approx([0, 0], abs=1e-5)
    assert found[2] == pytest.approx([0, math.log(3)], abs=1e-5)


def test_a_fitted_start_has_more_information_than_a_random_one() -> None:
    cold = replace(CONFIG, pretraining_epochs=0, epochs=5, start="random", learning_rate=1e-3)
    start, random = trained(CONFIG, [0])[1][-1], trained(cold, [0])[1][-1]
    assert start.metrics["information"] > 0.7 * math.log(3)
    assert random.metrics["information"] < 0.5 * math.log(3)


def test_a_random_start_depends_on_the_seed_of_the_replica() -> None:
    subject = Subject.of("gmm_prior_vae")
    subject = replace(subject, config=replace(subject.config, start="random"))
    training.replicas_are_independent(subject)
    training.the_seed_determines_the_result(subject)
    training.training_resumes_exactly(subject)


def test_a_shared_pretrained_network_gives_the_same_result() -> None:
    x, _ = blobs(100)
    giver, taker = GMMPriorVAE(CONFIG, (4,), [0, 1]), GMMPriorVAE(CONFIG, (4,), [0, 1])
    results = [giver.pretraining.result() for _ in giver.fit(x)]
    (result,) = [one for one in results if one is not None]
    taker.pretraining.load(result)
    reports = list(taker.fit(x))
    assert reports[0].epoch == CONFIG.pretraining_epochs + 1
    assert torch.equal(taker.predict_log_proba(x), giver.predict_log_proba(x))


def test_the_pretraining_does_not_depend_on_cluster_settings() -> None:
    same = replace(CONFIG, n_components=7, learning_rate=0.5, batch_size=9, epochs=3, starts=1)
    assert same.pretraining == CONFIG.pretraining
    for change in ({"latent_size": 3}, {"scale": 0.3}, {"pretraining_epochs": 9}):
        assert replace(CONFIG, **change).pretraining != CONFIG.pretraining


def test_a_cap_keeps_a_pass_with_clusters() -> None:
    config = GMMPriorVAEConfig(pretraining_epochs=30, epochs=10)
    assert config.capped(40) == config
    for epochs in range(1, 40):
        capped = config.capped(epochs)
        assert capped.passes == epochs
        assert 1 <= capped.epochs <= 10
        assert 0 <= capped.pretraining_epochs <= 30
    assert config.capped(20).epochs == 5
