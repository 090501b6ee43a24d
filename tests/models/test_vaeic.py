"""VAEIC: the bound against torch and an integral, the augmentations, the clustering losses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from tuner.errors import DataError
from tuner.models._kit.augmentation import Augmentation, transform_images
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import initialise
from tuner.models._kit.trainable_mixture import TrainableMixture
from tuner.models.vaeic import (
    VAEIC,
    VAEICConfig,
    VAEICNetwork,
    lower_bound,
)

from .test_vae_gmm import blobs

SMALL = VAEICConfig(n_components=3, latent_size=2, hidden_size=16, batch_norm=False, batch_size=50)
STRONG = Augmentation(shift=0.2, rotation=30.0, zoom=0.3, jitter=0.5)
NOTHING = Augmentation(shift=0.0, rotation=0.0, zoom=0.0, jitter=0.0)


def built(config: VAEICConfig, *shape: int, seeds: tuple[int, ...] = (0,)) -> VAEICNetwork:
    """Return networks whose components differ in weight, mean and variance."""
    network, draws = VAEICNetwork(len(seeds), shape, config), Draws(seeds)
    initialise(network, draws)
    network.prior.scatter(draws)
    with torch.no_grad():
        for parameter in (network.prior.logits, network.prior.log_variances):
            parameter.copy_(0.5 * draws.normal(*parameter.shape[1:]))
    return network


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(n))


def assignments(*shape: int, seed: int = 0) -> Tensor:
    logits = 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(dim=-1)


def still(n: int) -> dict[str, Tensor]:
    return {"shift": torch.zeros(n, 2), "rotation": torch.zeros(n), "zoom": torch.ones(n)}


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_matches_a_sum_over_clusters_of_torch_densities(likelihood: str) -> None:
    config = replace(SMALL, likelihood=likelihood, scale=0.3)
    network, x = built(config, 5, seeds=(0, 1)), images(7, 5).expand(2, 7, 5)
    with torch.no_grad():
        h = network.encoder(x)
        terms = lower_bound(network, x, h, network.assign(h), Draws([3, 4]))
        noise = Draws([3, 4]).normal(1, 7, 2).squeeze(1)
        q, prior = network.encode(h), network.prior
        z = q.mean + q.stddev * noise
        output = network.output(network.decoder(z))
        p = (
            Bernoulli(logits=output, validate_args=False)
            if likelihood == "bernoulli"
            else Normal(output, 0.3)
        )
        weights = Categorical(logits=prior.logits).probs
        expected = p.log_prob(x).sum(dim=2)
        for c in range(3):
            r = network.assign(h)[..., c].exp()
            component = Normal(
                prior.means[:, None, c], (prior.log_variances[:, None, c] / 2).exp()
            )
            kl = kl_divergence(Normal(q.mean, q.stddev), component).sum(dim=2)
            expected = expected - r * (kl + r.log() - weights[:, c, None].log())
    torch.testing.assert_close(terms["elbo"], expected.mean(dim=1))


def test_the_prior_matches_a_torch_mixture() -> None:
    prior = built(SMALL, 5, seeds=(0, 1)).prior
    z = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(5))
    for s in range(2):
        scale = (prior.log_variances[s] / 2).exp()
        mixture = MixtureSameFamily(
            Categorical(logits=prior.logits[s]), Independent(Normal(prior.means[s], scale), 1)
        )
        torch.testing.assert_close(prior.log_prob(z)[s], mixture.log_prob(z[s]))


def test_training_bound_elbo_and_log_likelihood_are_ordered() -> None:
    method, x = VAEIC(replace(SMALL, epochs=20), (6,), [0]), images(200, 6).round()
    list(method.fit(x))
    (clusterer,) = method.clusterers()
    network, points = method.network, x[:40]
    side = torch.linspace(-8, 8, 121)
    grid = torch.cartesian_prod(side, side)[None]
    with torch.no_grad():
        joint = network.prior.log_prob(grid)[0]
        logits = network.output(network.decoder(grid))[0]
        likelihood = Bernoulli(logits=logits[:, None]).log_prob(points).sum(dim=2)
        area = 2 * math.log(float(side[1] - side[0]))
        log_likelihood = (joint[:, None] + likelihood).logsumexp(dim=0) + area
        prior_mass = float(joint.logsumexp(dim=0) + area)
        h = network.encoder(points.repeat(100, 1)[None])
        assigned, draws = network.assign(h), Draws([0])
        many = points.repeat(100, 1)[None]
        trained = float(lower_bound(network, many, h, assigned, draws)["elbo"])
    bound = clusterer.elbo(points)
    assert prior_mass == pytest.approx(0, abs=1e-3)
    assert (bound < log_likelihood).all()
    assert (bound > log_likelihood - 3).all()
    assert trained < float(bound.mean())


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    config = replace(
        SMALL, augmentation_weight=3, balance_weight=5, certainty_weight=7, vat_weight=2
    )
    radius = torch.tensor(0.3)
    method, x = VAEIC(config, (4, 4), [0, 1]), images(9, 16).expand(2, 9, 16)
    terms = method.losses(x, torch.cat([x, x.flip(2)], dim=1), radius)
    expected = (
        3 * terms["inconsistency"]
        + 2 * terms["roughness"]
        + 5 * terms["imbalance"]
        + 7 * terms["uncertainty"]
    )
    torch.testing.assert_close(terms["loss"], expected - terms["elbo"])
    log_q = method.network.assign(method.network.encoder(x))
    torch.testing.assert_close(
        terms["uncertainty"], Categorical(logits=log_q).entropy().mean(dim=1)
    )
    assert (terms["inconsistency"] > 0).all()
    assert method.losses(x, torch.cat([x, x], dim=1), radius)["inconsistency"].abs().max() == 0


@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1), (2, 1, 3)])
def test_points_with_a_single_row_or_column_are_no_images(shape: tuple[int, ...]) -> None:
    x = torch.rand(2, 5, 6)
    found = STRONG.apply(x, shape, Draws([3, 4]))
    torch.testing.assert_close(found, x + 0.5 * Draws([3, 4]).normal(5, 6))


def test_the_identity_augmentation_changes_nothing() -> None:
    x = images(5, 2, 6, 7)
    torch.testing.assert_close(transform_images(x, **still(5)), x)
    flat = x.flatten(1).expand(3, 5, -1)
    torch.testing.assert_close(NOTHING.apply(flat, (2, 6, 7), Draws([0, 1, 2])), flat)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 1), (-1, 0), (2, -3)])
def test_a_shift_of_whole_pixels_rolls_zeros_in(down: int, right: int) -> None:
    x = images(4, 1, 6, 8)
    shift = torch.tensor([[down, right]]).float().expand(4, 2)
    padded = torch.nn.functional.pad(x, (3, 3, 3, 3))
    expected = torch.roll(padded, (down, right), dims=(2, 3))[..., 3:-3, 3:-3]
    found = transform_images(x, **{**still(4), "shift": shift})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [10.0, -25.0, 90.0])
@pytest.mark.parametrize("sides", [(9, 9), (8, 11)])
def test_a_rotation_matches_scipy(degrees: float, sides: tuple[int, int]) -> None:
    x = images(1, 1, *sides)
    found = transform_images(x, **{**still(1), "rotation": torch.tensor([degrees])})
    expected = ndimage.rotate(
        x[0, 0].double(), degrees, reshape=False, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-4)


def test_zoom_and_rotation_precede_the_shift_as_in_scipy() -> None:
    x, angle, zoom, shift = images(1, 1, 9, 12), 0.3, 1.4, np.array([0.7, -1.6])
    found = transform_images(
        x,
        shift=torch.tensor(shift[None]).float(),
        rotation=torch.tensor([math.degrees(angle)]),
        zoom=torch.tensor([zoom]),
    )
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back, centre = np.linalg.inv(zoom * turned), np.array([4.0, 5.5])
    expected = ndimage.affine_transform(
        x[0, 0].double(), back, centre - back @ (centre + shift), order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-4)


def test_channels_move_together_and_within_the_limits() -> None:
    point = torch.zeros(1, 2, 21, 21)
    point[..., 10, 10] = 1.0
    limits = replace(NOTHING, shift=0.2)
    moved = limits.apply(point.flatten(1).expand(1, 400, -1), (2, 21, 21), Draws([0]))[0]
    one, other = moved.unflatten(1, (2, 21, 21)).unbind(dim=1)
    assert torch.equal(one, other)
    mass = one.double()
    place = torch.arange(21, dtype=torch.float64) - 10
    for offset in ((mass.sum(2) * place).sum(1), (mass.sum(1) * place).sum(1)):
        assert 4.0 < offset.abs().max() < 4.21
        assert offset.mean().abs() < 0.5


@pytest.mark.parametrize("shape", [(16,), (4, 4), (1, 4, 4)])
def test_each_replica_augments_each_point_with_its_own_draws(shape: tuple[int, ...]) -> None:
    x = images(6, 16).expand(3, 6, 16)
    together = STRONG.apply(x, shape, Draws([5, 6, 7]))
    for r, seed in enumerate([5, 6, 7]):
        torch.testing.assert_close(STRONG.apply(x[:1], shape, Draws([seed]))[0], together[r])
    assert not together[0].allclose(together[1], atol=1e-2)
    same = STRONG.apply(x[:, :1].expand(3, 6, 16), shape, Draws([5, 6, 7]))
    assert (same[:, 0] - same[:, 1]).abs().amax(dim=1).min() > 1e-2


def test_points_that_are_not_images_get_noise() -> None:
    x = torch.zeros(2, 500, 20)
    noise = STRONG.apply(x, (20,), Draws([0, 1]))
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert noise.mean() == pytest.approx(0.0, abs=0.02)


def test_images_train_alike_alone_and_with_other_replicas() -> None:
    config = replace(SMALL, epochs=3, batch_size=20)
    x = images(60, 1, 6, 6)
    together = VAEIC(config, (1, 6, 6), [3, 8])
    reports = list(together.fit(x))
    for r, seed in enumerate([3, 8]):
        alone = VAEIC(config, (1, 6, 6), [seed])
        for ours, own in zip(reports, alone.fit(x), strict=True):
            for name, value in own.metrics.items():
                torch.testing.assert_close(ours.metrics[name][[r]], value, rtol=1e-4, atol=1e-5)


def test_bars_and_crosses_are_separated_at_any_position() -> None:
    shapes = torch.zeros(3, 1, 12, 12)
    shapes[0, :, 2:10, 5:7] = shapes[1, :, 5:7, 2:10] = 1.0
    shapes[2] = (shapes[0] + shapes[1]).clamp(max=1)
    y = torch.arange(240) % 3
    draws = replace(STRONG, shift=0.1, rotation=10.0, zoom=0.1)
    x = draws.apply(shapes[y].flatten(1)[None], (1, 12, 12), Draws([1]))[0].view(-1, 1, 12, 12)
    config = replace(SMALL, batch_norm=True, hidden_size=32, epochs=15, learning_rate=5e-3)
    method = VAEIC(config, (1, 12, 12), [0, 1, 2])
    list(method.fit(x.clamp(0, 1)))
    labels = method.predict_log_proba(x).argmax(dim=2)
    assert max(adjusted_rand_score(y, found) for found in labels) > 0.95


def test_samples_are_assigned_to_their_cluster() -> None:
    x, _ = blobs()
    config = replace(SMALL, likelihood="gaussian", epochs=50, batch_size=30, learning_rate=1e-2)
    method = VAEIC(config, (4,), [0])
    list(method.fit(x))
    (clusterer,) = method.clusterers()
    for cluster in range(3):
        drawn = clusterer.sample(cluster, 200, seed=1)
        assert (clusterer.predict(drawn) == cluster).float().mean() > 0.9


def test_components_start_apart() -> None:
    prior = TrainableMixture(2, 3, 4)
    prior.scatter(Draws([0, 1]))
    assert torch.pdist(prior.means.detach().flatten(0, 1)).min() > 0.1


def test_data_outside_the_unit_interval_need_a_gaussian_likelihood() -> None:
    with pytest.raises(DataError, match="set likelihood=gaussian"):
        next(VAEIC(SMALL, (4,), [0]).fit(blobs()[0]))
    assert VAEICConfig.forced_by(unit_interval=False) == {"likelihood": "gaussian"}


def test_a_cap_keeps_at_least_one_pass() -> None:
    assert SMALL.capped(100) == SMALL
    assert SMALL.capped(7).passes == 7
    assert SMALL.capped(0).passes == 1
