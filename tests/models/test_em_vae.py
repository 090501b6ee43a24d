import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor
from torch.distributions import MultivariateNormal

from tuner.data import load
from tuner.errors import DataError
from tuner.evaluation.graph import neighbour_graph
from tuner.evaluation.metrics import ari, contingency, hungarian
from tuner.evaluation.objective import evaluate
from tuner.models._kit.draws import Draws
from tuner.models._kit.mixtures import fit_mixture
from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models._kit.starts import initial_responsibilities
from tuner.models.em_vae import steps as _em_vae_steps
from tuner.models.em_vae.method import EMVAE, EMVAEClusterer, EMVAEConfig
from tuner.models.em_vae.steps import adaptive_elbo, effective_share, systematic_resample
from tuner.study.space import method_space
from tuner.testing import training
from tuner.testing.subject import Subject

SMALL = EMVAEConfig(
    n_components=3,
    iterations=4,
    m_step_epochs=2,
    latent_size=2,
    hidden_size=16,
    dropout=0.0,
    reconstruction_weight=5.0,
    learning_rate=1e-2,
    decay_every=0,
    batch_size=50,
    output="identity",
    diffusion_steps=0,
)


PRETRAINED = replace(
    SMALL,
    start="pretrained",
    pretraining_epochs=5,
    pretraining_latent_size=2,
    pretraining_hidden_size=32,
    pretraining_learning_rate=1e-2,
    pretraining_batch_size=50,
)


def blobs(points: int = 150) -> tuple[Tensor, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.arange(points) % 3
    x = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3]])[labels] + 0.3 * rng.normal(size=(points, 3))
    return torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32), labels


def trained(config: EMVAEConfig = SMALL, seeds: tuple[int, ...] = (0,)) -> EMVAE:
    method = EMVAE(config, (3,), seeds)
    for _ in method.fit(blobs()[0]):
        pass
    return method


def clusterer(method: EMVAE, r: int = 0) -> EMVAEClusterer:
    answer = method.clusterers()[r]
    assert isinstance(answer, EMVAEClusterer)
    return answer


def fixed(centres: np.ndarray, **settings: float) -> EMVAEClusterer:
    """Return decoders that ignore the code and encoders that ignore the point."""
    config = replace(SMALL, n_components=len(centres), **settings)
    untrained = clusterer(EMVAE(config, (centres.shape[1],), [0]))
    weights = {name: torch.zeros_like(w) for name, w in untrained.weights().items()}
    weights["vaes.output.bias"] = torch.tensor(centres[:, None], dtype=torch.float32)
    return EMVAEClusterer(config, (centres.shape[1],), weights)


def shares(method: EMVAE) -> Tensor:
    assert method.shares.u is not None
    return method.shares.u


def test_bound_and_prediction_match_a_gaussian_mixture_when_codes_are_ignored():
    centres = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    exact = norm.logpdf(x[:, None], centres, 1 / math.sqrt(5)).sum(-1) - math.log(3)
    model = fixed(centres)
    bound = model.elbo(torch.tensor(x)).numpy()
    np.testing.assert_allclose(bound, logsumexp(exact, axis=1), rtol=1e-4, atol=1e-4)
    log_p = model.predict_log_proba(torch.tensor(x)).numpy()
    expected = exact - logsumexp(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(log_p, expected, rtol=1e-4, atol=1e-4)


def test_bound_agrees_with_monte_carlo():
    gentle = replace(SMALL, reconstruction_weight=1.0)  # for which third order is accurate enough
    method, x = trained(gentle), blobs()[0][:5]
    network = clusterer(method).network.vaes
    q = network.encode(x.expand(3, 5, 3))
    z = q.sample((20_000,)).transpose(0, 1).flatten(1, 2)
    reconstruction, kl = network.loss_terms(x.expand(3, 5, 3), q, z)
    elbo = (-reconstruction - kl).logsumexp(0) - math.log(3) + 1.5 * math.log(1 / (2 * math.pi))
    torch.testing.assert_close(clusterer(method).elbo(x), elbo, rtol=0, atol=0.1)


def test_costs_are_squared_error_and_divergence_from_the_prior():
    network = EMVAE(SMALL, (3,), [4]).network.vaes
    x = blobs()[0][:7].expand(3, 7, 3)
    q = network.encode(x)
    mean, variance = q.base_dist.mean, q.base_dist.variance
    two = torch.cat([mean, mean + 1], dim=1)
    reconstruction, kl = network.loss_terms(x, q, two)
    errors = torch.stack([(network.decode(z) - x) ** 2 for z in (mean, mean + 1)])
    torch.testing.assert_close(reconstruction, 2.5 * errors.sum(-1).mean(0))
    torch.testing.assert_close(kl, 0.5 * (mean**2 + variance - 1 - variance.log()).sum(-1))


def test_e_step_metrics_agree_with_the_bound_of_the_clusterers(monkeypatch):
    monkeypatch.setattr(_em_vae_steps, "DECISIVE_MARGIN", math.inf)
    config = replace(SMALL, mc_samples=200, reconstruction_weight=1.0)
    method = EMVAE(config, (3,), (0, 1))
    x = blobs()[0]
    *_, last = method.fit(x)
    for r in range(2):
        bound = float(clusterer(method, r).elbo(x).mean())
        assert float(last.metrics["elbo"][r]) == pytest.approx(bound, abs=0.05)
    constant = 1.5 * math.log(1 / (2 * math.pi)) - math.log(3)
    torch.testing.assert_close(
        last.metrics["elbo"] - last.metrics["objective"], constant + torch.zeros(2)
    )


def test_m_step_trains_a_network_only_on_its_own_points():
    method, x = EMVAE(replace(SMALL, revive_below=0.0), (3,), [0]), blobs()[0]
    u = torch.zeros(1, len(x), 3)
    u[..., 1] = 1
    method.restore({**method.state(), "shares/u": u})
    before = {name: p.detach().clone() for name, p in method.parameters()}
    next(method.fit(x))
    for name, p in method.parameters():
        assert torch.equal(p[[0, 2]], before[name][[0, 2]])
        assert not torch.equal(p[1], before[name][1])


def test_reports_have_clusters_once_an_e_step_has_been_done():
    method = EMVAE(replace(SMALL, m_step_epochs=3), (3,), (0, 1))
    reports = list(method.fit(blobs()[0]))
    assert [r.clusters for r in reports] == [False] * 2 + [True] * 10
    assert reports[-1].metrics["objective"].min() > reports[0].metrics["objective"].max()


def test_random_start_is_uniform_on_the_simplex():
    method = EMVAE(SMALL, (3,), (0, 1))
    next(method.fit(blobs(3000)[0]))
    start = shares(method)
    torch.testing.assert_close(start.sum(-1), torch.ones(2, 3000))
    # a coordinate of Dirichlet(1, 1, 1) has variance 1/18
    torch.testing.assert_close(start.var(1), torch.full((2, 3), 1 / 18), rtol=0.1, atol=0)
    assert not torch.equal(start[0], start[1])


def test_uniform_start_gives_every_cluster_the_same_share():
    method = EMVAE(replace(SMALL, start="uniform"), (3,), [0])
    next(method.fit(blobs()[0]))
    assert torch.equal(shares(method), torch.full((1, 150, 3), 1 / 3))


def test_kmeans_start_is_kept_until_the_first_e_step():
    x, labels = blobs()
    method = EMVAE(replace(SMALL, start="kmeans"), (3,), (0, 2**40))
    next(method.fit(x))
    u = shares(method)
    assert set(u.unique().tolist()) == {0.0, 1.0}
    assert ari(contingency(u[1].argmax(-1).numpy(), labels)) == 1


# recorded before the pretrained start was added
@pytest.mark.parametrize(
    ("start", "loss", "objective"),
    [
        ("random", [7.777184, 8.392987], [-2.668338, -2.167222]),
        ("uniform", [8.284867, 8.542337], [-2.796366, -2.175627]),
        ("kmeans", [6.273000, 5.347423], [-0.836815, -1.005174]),
    ],
)
def test_other_starts_are_unaffected_by_the_pretrained_one(start, loss, objective):
    config = replace(SMALL, start=start, dropout=0.2, decay=0.5, decay_every=2)
    reports = list(EMVAE(config, (3,), (0, 7)).fit(blobs()[0]))
    assert reports[0].metrics["loss"].tolist() == pytest.approx(loss, rel=1e-4)
    assert reports[-1].metrics["objective"].tolist() == pytest.approx(objective, rel=1e-3)


def test_a_pretrained_start_uses_the_best_mixture_until_the_first_e_step():
    x, seeds = blobs()[0], (0, 5)
    method = EMVAE(PRETRAINED, (3,), seeds)
    training = method.fit(x)
    for _ in range(5):
        next(training)
    vae, draws = method.start.vae, Draws(seeds)
    draws.restore(method.draws.state())
    fitted, _ = fit_mixture(vae.sample_codes(x, draws), 3, draws, starts=4)
    codes, (index, nearest) = vae.embed(x), neighbours(x)
    assert torch.equal(index, torch.arange(150))
    expected = []
    for r in range(2):
        found = []
        for m in range(4):
            normal = MultivariateNormal(fitted.means[r, m], fitted.covariances[r, m])
            joint = normal.log_prob(codes[r].unsqueeze(1)) + fitted.log_weights[r, m]
            found.append(joint.softmax(-1))
        scores = [float(assortativity(u.argmax(-1), nearest, 3)) for u in found]
        expected.append(found[scores.index(max(scores))])
    next(training)
    u = shares(method).clone()
    torch.testing.assert_close(u, torch.stack(expected).float(), rtol=1e-3, atol=1e-4)
    next(training)  # the E-step at its end
    assert not torch.allclose(shares(method), u, atol=1e-3)


def test_passes_of_a_pretrained_start_come_first_without_clusters():
    reports = list(EMVAE(PRETRAINED, (3,), [0]).fit(blobs()[0]))
    assert [r.stage for r in reports] == ["pretraining"] * 5 + ["em"] * 8
    assert [r.epoch for r in reports] == list(range(1, PRETRAINED.passes + 1))
    assert [r.clusters for r in reports] == [False] * 6 + [True] * 7


def test_other_em_settings_share_the_pretrained_network():
    x, first = blobs()[0], EMVAE(PRETRAINED, (3,), (0, 1))
    for _ in first.fit(x):
        if (result := first.pretraining.result()) is not None:
            break
    other = replace(PRETRAINED, n_components=4, latent_size=1, reconstruction_weight=2.0)
    second = EMVAE(other, (3,), (0, 1))
    assert other.pretraining == PRETRAINED.pretraining
    second.pretraining.load(result)
    assert torch.equal(second.start.vae.embed(x), first.start.vae.embed(x))
    assert [r.stage for r in second.fit(x)] == ["em"] * 8
    assert replace(PRETRAINED, pretraining_scale=0.1).pretraining != PRETRAINED.pretraining


@pytest.mark.parametrize("start", ["random", "uniform", "kmeans"])
def test_other_starts_have_nothing_to_share(start):
    method = EMVAE(replace(PRETRAINED, start=start), (3,), [0])
    assert method.config.passes == 8
    for _ in method.fit(blobs()[0]):
        assert method.pretraining.result() is None
    assert method.config.pretraining == {}
    assert {len(p) for _, p in method.parameters()} == {3}


@pytest.mark.parametrize("start", ["random", "kmeans"])
def test_other_starts_keep_the_contract_of_training(start):
    tiny = Subject.of("em_vae")
    subject = Subject(EMVAE, replace(tiny.config, start=start))
    training.training_resumes_exactly(subject)
    training.replicas_are_independent(subject)


def test_blobs_are_found_from_random_starts_by_the_seed_with_the_best_score():
    x, labels = blobs()
    method = trained(replace(SMALL, iterations=15), (0, 1, 2, 3))
    graph = neighbour_graph(x.numpy(), fingerprint="blobs")
    found = evaluate(graph, method.predict_log_proba(x).numpy())
    assert ari(contingency(found.labels[found.best], labels)) > 0.9


@pytest.mark.parametrize(("share", "revived"), [(0.02, True), (0.0, False)])
def test_a_cluster_without_points_takes_half_of_the_largest(share: float, revived: bool):
    x, labels = blobs()
    method = EMVAE(replace(SMALL, m_step_epochs=1, revive_below=share), (3,), (0, 1))
    next(method.fit(x))
    u = torch.zeros(2, len(x), 3)
    u[..., 0] = torch.tensor(labels == 0)
    u[..., 1] = torch.tensor(labels != 0)
    method.restore({**method.state(), "shares/u": u})
    training = method.fit(x)
    method.config = replace(method.config, m_step_epochs=2)  # stop before the E-step
    method.clock.passes["em"] = 2
    next(training)
    masses = shares(method).mean(1)
    torch.testing.assert_close(masses.sum(1), torch.ones(2))
    assert bool((masses[:, 2] > 0.1).all()) == revived
    assert bool((masses[:, 0] - 1 / 3).abs().max() < 1e-6)


def test_learning_rate_decays_at_the_configured_interval():
    method = EMVAE(replace(SMALL, decay=0.5, decay_every=2), (3,), [0])
    rates = [float(method.optimiser.param_groups[0]["lr"]) for _ in method.fit(blobs()[0])]
    assert rates == pytest.approx([0.01] * 4 + [0.005] * 4)


def test_temperature_flattens_the_prediction():
    centres = np.array([[0.0, 0.0], [3.0, 0.0]])
    x = torch.zeros(1, 2)
    cold, hot = fixed(centres).predict_log_proba(x), fixed(centres, temperature=10.0)
    assert (cold[0, 0] - cold[0, 1]).item() == pytest.approx(22.5, rel=1e-4)
    odds = hot.predict_log_proba(x)
    assert (odds[0, 0] - odds[0, 1]).item() == pytest.approx(2.25, rel=1e-4)


def test_samples_and_reconstructions_use_the_decoder_of_the_cluster():
    centres = np.array([[0.0, 5.0], [5.0, 0.0]])
    model = fixed(centres)
    assert torch.equal(model.sample(1, 4, seed=0), torch.tensor([[5.0, 0.0]]).expand(4, 2))
    near = torch.tensor([[0.2, 4.8], [5.1, 0.1]])
    torch.testing.assert_close(model.reconstruct(near), torch.tensor(centres).float())


def test_codes_lie_in_the_block_of_their_cluster():
    x = blobs()[0]
    method = trained(replace(SMALL, start="kmeans", iterations=10))
    model = clusterer(method)
    blocks = model.embed(x).unflatten(1, (3, 2)).norm(dim=-1)
    clusters = model.predict(x)
    sure = model.predict_proba(x).max(1).values > 0.999
    assert sure.float().mean() > 0.5
    assert torch.equal(blocks[sure].argmax(1), clusters[sure])


def test_sigmoid_keeps_reconstructions_in_the_unit_interval():
    method = EMVAE(replace(SMALL, output="sigmoid"), (2, 2), [0])
    x = torch.rand(40, 2, 2, generator=torch.Generator().manual_seed(0))
    next(method.fit(x))
    drawn = clusterer(method).reconstruct(x)
    assert drawn.shape == x.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_capped_schedules_keep_iterations_and_decays():
    paper = EMVAEConfig()
    assert paper.passes == 6000
    assert paper.capped(6000) == paper
    short = paper.capped(100)
    assert (short.iterations, short.m_step_epochs, short.decay_every) == (10, 10, 1)
    assert paper.capped(1).passes == 1
    assert SMALL.capped(3).decay_every == 0


def test_a_capped_pretrained_start_leaves_half_of_the_passes_to_em():
    paper = EMVAEConfig(start="pretrained")
    assert (paper.passes, paper.capped(6015)) == (6015, paper)

    def passes(config: EMVAEConfig) -> tuple[int, int, int]:
        return config.pretraining_epochs, config.iterations, config.m_step_epochs

    assert passes(paper.capped(100)) == (15, 9, 9)
    assert passes(paper.capped(20)) == (10, 3, 3)
    assert passes(paper.capped(3)) == (1, 2, 1)
    assert passes(paper.capped(1)) == (0, 1, 1)
    assert passes(replace(PRETRAINED, pretraining_epochs=20).capped(20)) == (12, 4, 2)


def test_data_outside_the_range_of_a_sigmoid_are_rejected():
    with pytest.raises(DataError, match=r"\[0, 1\].*output=identity"):
        next(EMVAE(replace(SMALL, output="sigmoid"), (3,), [0]).fit(blobs()[0]))
    assert EMVAEConfig.forced_by(unit_interval=False) == {"output": "identity"}
    assert EMVAEConfig.forced_by(unit_interval=True) == {}


def test_fewer_points_than_clusters_have_no_kmeans_start():
    with pytest.raises(DataError, match="2 points are too few for 3"):
        next(EMVAE(replace(SMALL, start="kmeans"), (3,), [0]).fit(blobs()[0][:2]))


def test_equal_points_have_a_kmeans_start():
    method = EMVAE(replace(SMALL, start="kmeans"), (3,), [0])
    for _ in method.fit(torch.ones(30, 3)):
        pass
    assert method.predict_log_proba(torch.ones(1, 3)).isfinite().all()


def test_presets_of_papers_are_the_paper_settings():
    presets = method_space("em_vae").presets
    assert EMVAEConfig.from_mapping(presets["paper"]) == EMVAEConfig(diffusion_steps=0)
    moons = EMVAEConfig.from_mapping(presets["half_moons"])
    assert (moons.iterations, moons.m_step_epochs, moons.learning_rate) == (1000, 5, 1e-4)


@pytest.mark.slow
def test_digits_preset_beats_kmeans():
    data = load("digits")
    config = EMVAEConfig.from_mapping(method_space("em_vae").presets["digits"])
    method = EMVAE(config, data.shape, (0, 1, 2))
    x = torch.from_numpy(data.train)
    for _ in method.fit(x):
        pass
    assert data.train_labels is not None
    for row in method.predict_log_proba(x).argmax(-1).numpy():
        assert hungarian(contingency(row, data.train_labels)) > 0.8


def test_points_are_owned_in_proportion_to_the_responsibilities():
    u = torch.rand(2, 40, 3).softmax(-1)
    u[1, :, 2] = 0
    u[1, 7, 2] = 1.0
    draws = Draws([0, 1])
    seen = torch.stack([systematic_resample(u, 60, draws) for _ in range(200)])
    assert seen.shape == (200, 6, 60)
    counts = torch.nn.functional.one_hot(seen, 40).sum(2)
    expected = 60 * (u / u.sum(1, keepdim=True)).transpose(1, 2).flatten(0, 1)
    assert (counts - expected).abs().max() < 1 + 1e-4  # rounded up or down
    torch.testing.assert_close(counts.double().mean(0), expected.double(), rtol=0, atol=0.12)
    assert (seen[:, 5] == 7).all()
    assert (seen[0, 0].diff() < 0).any()  # in random order


def test_the_m_step_loss_estimates_the_weighted_loss_over_all_points():
    method, x = trained(), blobs()[0]
    u = torch.rand(1, len(x), 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    batch, vaes = x.expand(3, -1, -1), method.network.vaes
    q = vaes.encode(batch)
    at_mean = -sum(vaes.loss_terms(batch, q, q.base_dist.mean)).detach()
    exact = (u[0].T * at_mean).sum() / len(x)
    points = systematic_resample(u, 5000, method.draws)
    share = u[0].mean(0)
    assert float((share * at_mean.gather(1, points).mean(1)).sum()) == pytest.approx(
        float(exact), rel=2e-3
    )


def test_clusters_decided_by_one_draw_get_no_more_draws(monkeypatch):
    method, x = trained(replace(SMALL, iterations=20, reconstruction_weight=10.0)), blobs()[0]
    decoded = []
    vaes, decode = method.network.vaes, method.network.vaes.decode
    monkeypatch.setattr(vaes, "decode", lambda z: decoded.append(z) or decode(z))

    @torch.no_grad()
    def responsibilities() -> Tensor:
        method.network.eval()
        steps = [adaptive_elbo(method.network, x, 10, method.draws) for _ in range(100)]
        return torch.stack(steps).softmax(-1).mean(0)

    sparing = responsibilities()
    cheap = sum(z.shape[1] for z in decoded)
    decoded.clear()
    monkeypatch.setattr(_em_vae_steps, "DECISIVE_MARGIN", math.inf)
    full = responsibilities()
    assert cheap < 0.7 * sum(z.shape[1] for z in decoded)
    torch.testing.assert_close(sparing, full, rtol=0, atol=0.02)


@pytest.mark.parametrize("start", ["uniform", "random"])
def test_the_batch_share_of_a_start_is_its_effective_sample_size(start):
    u = initial_responsibilities(start, torch.rand(20_000, 2), 10, [0], Draws([0]))[0]
    effective = u.mean(0).square() / u.square().mean(0)
    assert effective_share(start, 10) == pytest.approx(float(effective.mean()), abs=0.06)


def test_no_share_exceeds_the_batch():
    assert effective_share("kmeans", 2) == effective_share("", 3) == 1.0
    assert effective_share("", 10) == 0.3


def test_refining_every_point_changes_no_decided_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    method, x = trained(), blobs()[0]

    def all_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
        selected, rows = mask.to(torch.uint8).sort(dim=1, descending=True, stable=True)
        return rows, selected.bool()

    with torch.no_grad():
        expected = adaptive_elbo(method.network.eval(), x, 10, Draws([0]))
        monkeypatch.setattr(_em_vae_steps, "_selected_first", all_rows)
        found = adaptive_elbo(method.network, x, 10, Draws([0]))
    torch.testing.assert_close(found, expected)
    assert not torch.equal(expected, adaptive_elbo(method.network, x, 1, Draws([0])))
