"""Alternating training of a VAE and a mixture."""

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from tuner.methods.contract import Report
from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models.mutual_vae_gmm import MutualVAEGMM, MutualVAEGMMConfig
from tuner.models.vae_gmm import VAEGMM

from .test_vae_gmm import CONFIG as VAE_CONFIG
from .test_vae_gmm import blobs

CONFIG = MutualVAEGMMConfig(
    **{**VAE_CONFIG.to_mapping(), "vae_epochs": 15}, rounds=2, round_epochs=3
)


def trained(config: MutualVAEGMMConfig, seeds: list[int]) -> tuple[MutualVAEGMM, list[Report]]:
    method = MutualVAEGMM(config, (4,), seeds)
    return method, list(method.fit(blobs()[0]))


def test_blobs_are_found_and_chosen_without_labels() -> None:
    x, y = blobs()
    labels = trained(CONFIG, [0, 1, 2, 3])[0].predict_log_proba(x).argmax(2)
    _, nearest = neighbours(x)
    chosen = assortativity(labels, nearest, 3).argmax()
    assert adjusted_rand_score(y, labels[chosen]) > 0.95


def test_stages_and_epochs_at_which_the_mixture_changes() -> None:
    x, _ = blobs()
    method = MutualVAEGMM(CONFIG, (4,), [0, 1])
    before, moved, reports = method.network.mixture.means.clone(), [], []
    for report in method.fit(x):
        now = method.network.mixture.means.clone()
        moved.append(not torch.equal(now, before))
        before = now
        reports.append(report)
    assert [r.stage for r in reports] == ["vae"] * 15 + ["rounds"] * 6
    assert [r.clusters for r in reports] == [False] + [True] * 20
    assert [r.epoch for r, m in zip(reports, moved, strict=True) if m] == [2, 5, 15, 18, 21]
    assert [r.epoch for r in reports] == list(range(1, CONFIG.passes + 1))


def test_rounds_raise_the_bound() -> None:
    x, _ = blobs()
    method = MutualVAEGMM(replace(CONFIG, rounds=5), (4,), [0, 1])
    bounds = [
        torch.stack([c.elbo(x).mean() for c in method.clusterers()])
        for report in method.fit(x)
        if report.clusters and report.epoch in (15, CONFIG.vae_epochs + 15)
    ]
    assert (bounds[1] > bounds[0] + 0.1).all()


def test_zero_rounds_equal_vae_gmm() -> None:
    x, _ = blobs()
    method, _ = trained(replace(CONFIG, vae_epochs=4, rounds=0), [1])
    plain = VAEGMM(replace(VAE_CONFIG, vae_epochs=4), (4,), [1])
    list(plain.fit(x))
    assert torch.equal(method.predict_log_proba(x), plain.predict_log_proba(x))


@pytest.mark.parametrize("stop", [2, 15, 16, 18, 20])
def test_a_resumed_training_ends_like_an_uninterrupted_one(stop: int) -> None:
    x, _ = blobs()
    whole, _ = trained(CONFIG, [0, 1])
    first = MutualVAEGMM(CONFIG, (4,), [0, 1])
    for report in first.fit(x):
        if report.epoch == stop:
            break
    second = MutualVAEGMM(CONFIG, (4,), [8, 9])
    second.restore(first.state())
    assert torch.equal(second.predict_log_proba(x), first.predict_log_proba(x))
    reports = list(second.fit(x))
    assert reports[0].epoch == stop + 1
    assert torch.equal(second.predict_log_proba(x), whole.predict_log_proba(x))


def test_a_replica_trains_alike_alone_and_with_others() -> None:
    x, _ = blobs(123)
    config = replace(CONFIG, vae_epochs=2, rounds=1, round_epochs=1)
    together, alone = MutualVAEGMM(config, (4,), [3, 4, 5]), MutualVAEGMM(config, (4,), [4])
    pairs = zip(together.fit(x), alone.fit(x), strict=True)
    for ours, own in pairs:
        torch.testing.assert_close(
            ours.metrics["elbo"][1:2], own.metrics["elbo"], rtol=1e-4, atol=1e-4
        )
    torch.testing.assert_close(
        together.predict_log_proba(x)[1], alone.predict_log_proba(x)[0], rtol=1e-3, atol=1e-2
    )


def test_gradients_reach_every_parameter_in_both_stages() -> None:
    x, _ = blobs(64)
    method = MutualVAEGMM(replace(CONFIG, vae_epochs=1, rounds=1, round_epochs=1), (4,), [0])
    for _ in method.fit(x):
        assert all(p.grad is not None and p.grad.any() for _, p in method.parameters())


def test_divergence_is_reported() -> None:
    method, reports = trained(replace(CONFIG, learning_rate=1e8, vae_epochs=3), [0, 1])
    assert not reports[-1].metrics["loss"].isfinite().all()
    assert method.predict_log_proba(blobs()[0]).shape == (2, 300, 3)


@pytest.mark.parametrize(("n", "constant"), [(4, False), (65, False), (129, True)])
def test_few_points_and_constant_features_are_clustered(n: int, constant: bool) -> None:
    x, _ = blobs(n)
    if constant:
        x[:, 2] = 5.0
    method = MutualVAEGMM(replace(CONFIG, vae_epochs=2), (4,), [0])
    reports = list(method.fit(x))
    assert reports[-1].metrics["loss"].isfinite().all()
    assert method.predict_log_proba(x[:1]).isfinite().all()


def test_a_cap_shortens_all_stages() -> None:
    config = MutualVAEGMMConfig(vae_epochs=50, rounds=5, round_epochs=4)
    assert config.passes == 70
    assert config.capped(70) == config
    for epochs in range(1, 70):
        capped = config.capped(epochs)
        assert 1 <= capped.passes <= epochs
        assert capped.passes > epochs - 4
    assert config.capped(35).vae_epochs == 25
    assert config.capped(35).rounds == 2
