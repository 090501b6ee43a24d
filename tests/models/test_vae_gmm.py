"""A VAE, then a mixture on its codes."""

import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from tuner.models._kit.neighbours import assortativity, neighbours
from tuner.models.vae_gmm import VAEGMM, VAEGMMConfig

CONFIG = VAEGMMConfig(
    n_components=3,
    latent_size=2,
    hidden_size=32,
    likelihood="gaussian",
    learning_rate=1e-2,
    batch_size=64,
    vae_epochs=20,
)


def blobs(n: int = 300) -> tuple[Tensor, Tensor]:
    x, y = make_blobs(n, n_features=4, centers=3, random_state=4)
    x = (x - x.mean(0)) / x.std(0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def test_blobs_are_found_and_chosen_without_labels() -> None:
    x, y = blobs()
    method = VAEGMM(CONFIG, (4,), [0, 1, 2, 3])
    list(method.fit(x))
    labels = method.predict_log_proba(x).argmax(2)
    _, nearest = neighbours(x)
    chosen = assortativity(labels, nearest, 3).argmax()
    assert adjusted_rand_score(y, labels[chosen]) > 0.95


def test_the_mixture_is_fitted_early_for_pruning_and_again_at_the_end() -> None:
    x, _ = blobs(100)
    method = VAEGMM(CONFIG.capped(18), (4,), [0])
    uniform = torch.full((1, 100, 3), 1 / 3)
    before, moved = method.network.mixture.means.clone(), []
    for report in method.fit(x):
        fitted = not method.predict_log_proba(x).exp().allclose(uniform)
        assert report.clusters == fitted == (report.epoch >= 2)
        if not torch.equal(method.network.mixture.means, before):
            moved.append(report.epoch)
        before = method.network.mixture.means.clone()
        assert report.stage == "vae"
        assert set(report.metrics) == {"loss", "elbo", "reconstruction", "kl"}
    assert moved == [2, 6, 18]
    assert report.epoch == method.config.passes == 18


def test_the_bound_rises() -> None:
    x, _ = blobs()
    curve = torch.stack([r.metrics["elbo"] for r in VAEGMM(CONFIG, (4,), [0, 1]).fit(x)])
    assert (curve[-5:].mean(0) > curve[0] + 2).all()


def test_samples_are_assigned_to_their_cluster() -> None:
    x, _ = blobs()
    method = VAEGMM(CONFIG, (4,), [0])
    list(method.fit(x))
    (clusterer,) = method.clusterers()
    for cluster in range(3):
        drawn = clusterer.sample(cluster, 200, seed=1)
        assert (clusterer.predict(drawn) == cluster).float().mean() > 0.9


def test_a_cap_keeps_at_least_one_pass() -> None:
    assert CONFIG.capped(100) == CONFIG
    assert CONFIG.capped(7).passes == 7
    assert CONFIG.capped(1).passes == 1
