"""An autoencoder and the discriminators of its two codes."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tuner.errors import DataError
from tuner.models._kit.draws import Draws
from tuner.models.aae import AAE, AAEConfig, confusion_loss, discrimination_loss, one_hot

from .test_vae_gmm import blobs

CONFIG = AAEConfig(
    n_components=3,
    style_size=2,
    hidden_size=32,
    output="identity",
    learning_rate=3e-3,
    adversarial_learning_rate=1e-3,
    batch_size=50,
    epochs=20,
)


NO_RADIUS = torch.tensor(0.0)  # no penalty has a weight


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def values(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def same(one: list[Tensor | None], two: list[Tensor | None]) -> bool:
    return all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, two, strict=True)
    )


def moved(one: list[Tensor], two: list[Tensor]) -> bool:
    return not any(map(torch.equal, one, two))


def test_losses_are_cross_entropies() -> None:
    drawn, encoded = 3 * normal(2, 8), normal(2, 8).flip(1)
    ones, zeros = torch.ones(8), torch.zeros(8)
    for r in range(2):
        torch.testing.assert_close(
            discrimination_loss(drawn, encoded)[r],
            binary_cross_entropy_with_logits(drawn[r], ones)
            + binary_cross_entropy_with_logits(encoded[r], zeros),
        )
        torch.testing.assert_close(
            confusion_loss(encoded)[r], binary_cross_entropy_with_logits(encoded[r], ones)
        )
    assert confusion_loss(torch.full((1, 4), -1e4)).isfinite().all()


def test_the_optimal_discriminator_leaves_the_jensen_shannon_divergence() -> None:
    prior, codes = torch.tensor([2, 3, 5]), torch.tensor([6, 3, 1])
    log_odds = (prior / codes).log()
    best = discrimination_loss(
        log_odds.repeat_interleave(prior)[None], log_odds.repeat_interleave(codes)[None]
    )
    divergence = jensenshannon(prior.numpy(), codes.numpy()) ** 2
    assert best.item() == pytest.approx(2 * math.log(2) - 2 * divergence, abs=1e-5)


def test_clusters_are_drawn_uniformly_for_every_replica() -> None:
    drawn = one_hot(6000, 7, Draws([0, 1]))
    assert drawn.shape == (2, 6000, 7)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn.sum(dim=2), torch.ones(2, 6000))
    for counts in drawn.sum(dim=1):
        assert chisquare(counts.numpy()).pvalue > 1e-3
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[1:], one_hot(6000, 7, Draws([1])))


def test_each_step_updates_only_its_own_networks() -> None:
    method, batch = AAE(CONFIG, (4,), [0, 1]), normal(2, 50, 4)
    encoder, discriminators = method.network.encoder, method.discriminators
    decoder = nn.ModuleList([method.network.decoder, method.network.output])

    start = values(encoder), values(decoder), values(discriminators)
    method.reconstruction_step(batch, NO_RADIUS)
    assert moved(values(encoder), start[0])
    assert moved(values(decoder), start[1])
    assert same(values(discriminators), start[2])
    assert all(gradient is None for gradient in gradients(discriminators))

    start, before = (
        (values(encoder), values(decoder), values(discriminators)),
        gradients(method.network),
    )
    method.discrimination_step(batch)
    assert same(values(encoder), start[0])
    assert same(values(decoder), start[1])
    assert moved(values(discriminators), start[2])
    assert same(gradients(method.network), before)

    start = values(encoder), values(decoder), values(discriminators)
    before = gradients(decoder) + gradients(discriminators)
    method.confusion_step(batch)
    assert moved(values(encoder), start[0])
    assert same(values(decoder), start[1])
    assert same(values(discriminators), start[2])
    assert same(gradients(decoder) + gradients(discriminators), before)
    assert all(p.requires_grad for p in discriminators.parameters())


def test_the_squared_error_compares_points_with_decoded_codes() -> None:
    config = replace(CONFIG, noise=0.0)
    method, x = AAE(config, (4,), [0, 1]), normal(10, 4)
    network = method.network.eval()
    points = x.expand(2, -1, -1)
    error, _ = network.squared_error(points, points, Draws([0, 1]))
    for r, clusterer in enumerate(method.clusterers()):
        code = clusterer.embed(x)
        y, z = code[:, :3], code[:, 3:]
        torch.testing.assert_close(y, clusterer.predict_proba(x))
        again = clusterer.network.decode(y[None], z[None])[0]
        torch.testing.assert_close(clusterer.reconstruct(x), again)
        torch.testing.assert_close(error[r], ((again - x) ** 2).sum() / 40)


def test_samples_decode_the_cluster_with_seeded_styles() -> None:
    (clusterer,) = AAE(CONFIG, (2, 2), [0]).clusterers()
    z = Draws([5]).normal(6, 2)
    for cluster in range(3):
        y = torch.zeros(1, 6, 3)
        y[..., cluster] = 1
        with torch.no_grad():
            expected = clusterer.network.decode(y, z).view(6, 2, 2)
        torch.testing.assert_close(clusterer.sample(cluster, 6, seed=5), expected)


def test_codes_approach_their_priors_and_samples_are_assigned_to_their_cluster() -> None:
    x, y = blobs()
    config = replace(
        CONFIG, style_size=1, noise=0.1, adversarial_learning_rate=3e-3, batch_size=30, epochs=60
    )
    method = AAE(config, (4,), [0, 1])
    reports = list(method.fit(x))
    assert (reports[-1].metrics["loss"] < 0.5 * reports[0].metrics["loss"]).all()
    for clusterer in method.clusterers():
        assert adjusted_rand_score(y, clusterer.predict(x)) > 0.95
        style = clusterer.embed(x)[:, 3:]
        assert style.mean().abs() < 0.4
        assert 0.6 < style.std() < 1.4
        for cluster in range(3):
            drawn = clusterer.sample(cluster, 200, seed=1)
            assert (clusterer.predict(drawn) == cluster).float().mean() > 0.8


def test_reports_contain_the_loss_of_every_network() -> None:
    report = next(AAE(CONFIG, (4,), [0, 1]).fit(normal(100, 4)))
    games = {"discrimination", "confusion"}
    names = {f"{code}_{game}" for code in ("cluster", "style") for game in games}
    penalties = {"roughness", "imbalance", "uncertainty"}  # and no copies of what is no image
    assert set(report.metrics) == {"loss", *names, *penalties}


def test_data_outside_the_decoders_range_are_rejected() -> None:
    method = AAE(AAEConfig(n_components=3, hidden_size=8), (4,), [0])
    with pytest.raises(DataError, match="output=identity"):
        next(method.fit(2 * normal(20, 4)))
