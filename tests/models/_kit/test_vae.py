"""The autoencoder's bounds against integrals, and what its clusterer answers."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from tuner.errors import DataError
from tuner.models._kit.bounds import antithetic_noise
from tuner.models._kit.draws import Draws
from tuner.models._kit.latent_mixture import LatentMixture, LatentMixtureClusterer
from tuner.models._kit.layers import initialise, replica
from tuner.models._kit.outputs import validate_and_flatten
from tuner.models.vae_gmm import VAEGMMConfig

CONFIG = VAEGMMConfig(
    n_components=3,
    latent_size=1,
    hidden_size=8,
    hidden_layers=1,
    likelihood="gaussian",
    scale=0.5,
)
SEEDS = [3, 4]


def points(n: int = 12) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0))


def network(config: VAEGMMConfig = CONFIG, *, fitted: bool = True) -> LatentMixture:
    draws = Draws(SEEDS)
    made = LatentMixture(2, (4,), config)
    initialise(made, draws)
    if fitted:
        made.fit_mixture(points(200), draws)
    return made


def log_evidence(made: LatentMixture, x: Tensor) -> Tensor:
    """Return log ∫ p(x | z) p(z) dz, shape (S, N), by a sum over a fine grid of z."""
    z = torch.linspace(-8, 8, 4001).view(1, -1, 1).expand(2, -1, 1)
    p = made.vae.decode(z)
    log_x = torch.stack([p.log_prob(point) for point in x], dim=1)  # (S, N, grid)
    return (log_x + made.mixture.log_prob(z).unsqueeze(1)).logsumexp(2) + math.log(16 / 4000)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_elbo_is_below_the_evidence_and_near_it(likelihood: str) -> None:
    made = network(replace(CONFIG, likelihood=likelihood))
    x = points() if likelihood == "gaussian" else points().sigmoid()
    with torch.no_grad():
        evidence = log_evidence(made, x)
        elbo = made.elbo(x, Draws([0]).normal(2000, 1)[0])
        few = made.elbo(x, antithetic_noise(1, x))
    assert (elbo < evidence + 1e-3).all()
    assert (evidence - elbo).max() < 4
    assert (few - elbo).abs().max() < 0.4


def test_own_component_bound_is_below_the_mixture_s() -> None:
    made, x = network(), points()
    own = torch.zeros(2)
    draws, whitening = Draws(SEEDS), made.mixture.whitening()
    with torch.no_grad():
        batch = x.expand(2, *x.shape)
        for _ in range(400):
            own += made.own_component_bound(batch, draws, whitening)["elbo"] / 400
        assert (own < made.elbo(x, Draws([0]).normal(2000, 1)[0]).mean(1) + 0.05).all()


def test_equal_components_make_the_standard_bound() -> None:
    made, x = network(fitted=False), points().expand(2, 12, 4)
    own = made.own_component_bound(x, Draws(SEEDS), made.mixture.whitening())
    standard = made.vae.standard_bound(x, Draws(SEEDS))
    torch.testing.assert_close(own["kl"], standard["kl"] + math.log(3))
    torch.testing.assert_close(own["reconstruction"], standard["reconstruction"])
    torch.testing.assert_close(standard["loss"], standard["kl"] - standard["reconstruction"])


def test_standard_divergence_by_hand() -> None:
    made, x = network(fitted=False), points().expand(2, 12, 4)
    q = made.vae.encode(x).base_dist
    expected = 0.5 * (q.variance + q.mean**2 - 1 - q.variance.log()).sum(2).mean(1)
    torch.testing.assert_close(made.vae.standard_bound(x, Draws(SEEDS))["kl"], expected)


def test_gaussian_decoder_has_the_configured_scale() -> None:
    made, z = network(), torch.zeros(2, 5, 1)
    p = made.vae.decode(z)
    expected = Normal(p.base_dist.mean, 0.5).log_prob(points(5)).sum(2)
    torch.testing.assert_close(p.log_prob(points(5)), expected)


def test_mixture_is_fitted_on_draws_so_that_an_unused_dimension_is_no_spike() -> None:
    config = replace(CONFIG, latent_size=2)
    made = network(config, fitted=False)
    head = made.vae.posterior
    for layer in (head.mean, head.log_variance):  # the second code ignores the data
        layer.weight.data[..., 1] = 0
        layer.bias.data[..., 1] = 0
    made.fit_mixture(points(2000), Draws(SEEDS))
    variance = made.mixture.scale_tril[..., 1, :].square().sum(-1)
    assert ((variance > 0.5) & (variance < 1.5)).all()


def test_clusterer_answers_like_the_network_and_draws_nothing() -> None:
    made, x = network(), points(7)
    before = torch.get_rng_state()
    for r in range(2):
        weights = replica(made.state_dict(), r, 2)
        clusterer = LatentMixtureClusterer(CONFIG, (2, 2), weights)
        square = x.view(7, 2, 2)
        torch.testing.assert_close(
            clusterer.predict_log_proba(square), made.predict_log_proba(x)[r]
        )
        torch.testing.assert_close(clusterer.embed(square), made.embed(x)[r])
        assert clusterer.reconstruct(square).shape == (7, 2, 2)
        assert clusterer.elbo(square).shape == (7,)
        assert torch.equal(clusterer.elbo(square), clusterer.elbo(square))
        assert not any(tensor.requires_grad for tensor in clusterer.weights().values())
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_depend_on_the_seed_and_narrow_with_temperature() -> None:
    weights = replica(network().state_dict(), 0, 2)

    def spread(temperature: float) -> float:
        config = replace(CONFIG, temperature=temperature)
        clusterer = LatentMixtureClusterer(config, (4,), weights)
        assert torch.equal(clusterer.sample(1, 5, 8), clusterer.sample(1, 5, 8))
        return clusterer.sample(1, 500, 8).std(0).norm().item()

    assert spread(0.0) == pytest.approx(0, abs=1e-6)
    assert spread(0.25) < 0.7 * spread(1.0)
    clusterer = LatentMixtureClusterer(CONFIG, (4,), weights)
    assert not torch.equal(clusterer.sample(1, 5, 8), clusterer.sample(1, 5, 9))
    assert not torch.equal(clusterer.sample(1, 5, 8), clusterer.sample(2, 5, 8))


def test_bernoulli_refuses_data_outside_the_unit_interval() -> None:
    config = replace(CONFIG, likelihood="bernoulli")
    assert validate_and_flatten(torch.rand(3, 2, 2), config).shape == (3, 4)
    with pytest.raises(DataError, match=r"likelihood=gaussian"):
        validate_and_flatten(points(), config)
    assert validate_and_flatten(points(), CONFIG).shape == (12, 4)
    assert VAEGMMConfig.forced_by(unit_interval=False) == {"likelihood": "gaussian"}
    assert VAEGMMConfig.forced_by(unit_interval=True) == {}
