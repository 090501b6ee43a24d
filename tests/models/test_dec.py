"""The Student kernel, its targets, and the self-training that follows them."""

from dataclasses import replace

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from tuner.methods.contract import Clusterer, Decodes, Report
from tuner.models._kit.loop import batch_indices
from tuner.models.ae_gmm import AEGMMConfig
from tuner.models.dec import DEC, DECConfig, DECNetwork, Target

from .test_vae_gmm import blobs

CONFIG = DECConfig(
    n_components=3,
    latent_size=2,
    hidden_sizes="16-16",
    pretraining_epochs=3,
    pretraining_learning_rate=1e-2,
    pretraining_batch_size=64,
    batch_size=64,
    update_interval=7,
    tolerance=0.0,
    epochs=5,
)
STEPS = 5  # of a pass over 300 points


def trained(config: DECConfig, seeds: list[int]) -> tuple[DEC, list[Report]]:
    method = DEC(config, (4,), seeds)
    return method, list(method.fit(blobs()[0]))


def after(passes: int, config: DECConfig, seeds: list[int]) -> DEC:
    method = DEC(config, (4,), seeds)
    for _ in zip(range(passes), method.fit(blobs()[0]), strict=False):
        pass
    return method


def network_and_codes(stack: int = 2, n: int = 6) -> tuple[DECNetwork, Tensor]:
    network = DECNetwork(stack, (4,), CONFIG).double()
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(stack, 3, 2, generator=generator, dtype=torch.float64)
    network.centres = nn.Parameter(centres)
    z = 2 * torch.randn(stack, n, 2, generator=generator, dtype=torch.float64)
    return network, z.requires_grad_()


def student(z: Tensor, centres: Tensor) -> Tensor:
    """Return q (N, K) of one replica, element by element."""
    rows = []
    for point in z.tolist():
        squares = [
            sum((a - b) ** 2 for a, b in zip(point, c, strict=True)) for c in centres.tolist()
        ]
        kernel = [1 / (1 + square) for square in squares]
        rows.append([value / sum(kernel) for value in kernel])
    return torch.tensor(rows, dtype=torch.float64)


def sharpened(q: Tensor) -> Tensor:
    """Return p (N, K) of one replica, element by element."""
    frequency = [sum(column) for column in q.T.tolist()]
    rows = []
    for row in q.tolist():
        raised = [value**2 / f for value, f in zip(row, frequency, strict=True)]
        rows.append([value / sum(raised) for value in raised])
    return torch.tensor(rows, dtype=torch.float64)


def following(q: Tensor) -> Target:
    target = Target(len(q), "cpu")
    target.update(q.log(), 0.0)
    return target


def test_assignments_and_targets_match_explicit_loops() -> None:
    network, z = network_and_codes()
    q = network.assignments(z).probs.detach()
    index = torch.tensor([[4, 0, 2], [1, 5, 3]])
    p = following(q).of(index).probs
    for r in range(2):
        torch.testing.assert_close(q[r], student(z[r], network.centres[r]))
        torch.testing.assert_close(p[r], sharpened(q[r])[index[r]])


def test_the_gradients_match_the_paper() -> None:
    network, z = network_and_codes()
    q = network.assignments(z)
    everything = torch.arange(6).expand(2, 6)
    target = following(q.probs.detach()).of(everything)
    kl_divergence(target, q).sum().backward()
    offset = z.detach().unsqueeze(2) - network.centres.detach().unsqueeze(1)
    kernel = 1 / (1 + offset.square().sum(-1))
    pull = (2 * kernel * (target.probs - q.probs.detach())).unsqueeze(-1) * offset
    assert z.grad is not None
    assert network.centres.grad is not None
    torch.testing.assert_close(z.grad, pull.sum(dim=2))  # Eq. 4 at α = 1
    torch.testing.assert_close(network.centres.grad, -pull.sum(dim=1))  # Eq. 5 at α = 1


@pytest.mark.parametrize("keep", [False, True])
def test_the_loss_matches_the_paper(keep: bool) -> None:
    x, _ = blobs()
    method = after(4, CONFIG, [0, 1])
    network, batch = method.network, x[:20].expand(2, -1, -1)
    index = torch.arange(20).expand(2, 20)
    terms = network.clustering_loss(batch, method.target.of(index))
    if keep:
        terms = network.joint_loss(batch, method.target.of(index), 0.3)
    scaled = x[:20] / x.square().mean().sqrt()
    assert method.target.log_q is not None
    for r in range(2):
        z = network.embed(x)[r, :20]
        p, q = (
            sharpened(method.target.log_q[r].double().exp())[:20],
            student(z, network.centres[r]),
        )
        expected = (p * (p / q).log()).sum() / 20
        if keep:
            decoded = network.autoencoder.decode(network.embed(x)[:, :20])[r]
            expected = 0.3 * expected + (decoded - scaled).square().sum() / (20 * 4)
        spread = (z - z.mean(0)).square().sum(1).mean().sqrt()
        torch.testing.assert_close(terms["loss"][r], expected.float(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(terms["spread"][r], spread)


def test_centres_start_as_tight_as_those_of_scikit_learn() -> None:
    x, _ = blobs()
    method = after(3, replace(CONFIG, n_components=8), [0, 1])
    codes = method.network.embed(x)
    method._place_centres(x)
    for z, centres in zip(codes.detach(), method.network.centres.detach(), strict=True):
        inertia = torch.cdist(z, centres).square().amin(dim=1).sum()
        assert inertia < 1.03 * KMeans(8, n_init=20, random_state=0).fit(z.numpy()).inertia_


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 4])
def test_targets_are_updated_across_passes_and_after_resuming(stop: int) -> None:
    """An explicit loop over steps ends with the same result as the method."""
    x, _ = blobs()
    reference = after(3, CONFIG, [0, 1])
    method = after(3 + stop, CONFIG, [0, 1])
    resumed = DEC(CONFIG, (4,), [0, 1])
    resumed.restore(method.state())
    list(resumed.fit(x))
    reference._place_centres(x)
    network, coder = reference.network, reference.network.autoencoder
    trained = [*coder.encoder.parameters(), *coder.code.parameters(), network.centres]
    plain = torch.optim.SGD(trained, lr=0.01, momentum=0.9)
    step = 0
    for _ in range(CONFIG.epochs):
        for index in batch_indices(len(x), 64, reference.draws):
            if step in (0, 7, 14, 21):
                q = network.predict_log_proba(x).detach().exp()
                p = q.square() / q.sum(dim=1, keepdim=True)
                p = p / p.sum(dim=2, keepdim=True)
            rows = torch.stack([p[0, index[0]], p[1, index[1]]])
            loss = network.clustering_loss(x[index], Categorical(probs=rows))["loss"]
            plain.zero_grad()
            loss.sum().backward()
            plain.step()
            step += 1
    assert step == 5 * STEPS
    torch.testing.assert_close(
        resumed.predict_log_proba(x), reference.predict_log_proba(x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("keep", [False, True])
def test_a_converged_replica_is_frozen_while_the_others_train(keep: bool) -> None:
    config = replace(CONFIG, keep_decoder=keep, update_interval=STEPS, learning_rate=0.1)
    x, _ = blobs()
    method = DEC(config, (4,), [0, 1])
    reports = method.fit(x)
    for report in reports:
        if report.epoch == 5:
            break
    method.target.following = torch.tensor([True, False])
    before = {name: p.detach().clone() for name, p in method.network.named_parameters()}
    metrics = list(reports)[-1].metrics
    assert metrics["converged"].tolist() == [0, 1]
    for name, parameter in method.network.named_parameters():
        still = [torch.equal(a, b) for a, b in zip(parameter, before[name], strict=True)]
        trains = keep or not ("decoder" in name or "output" in name)
        assert still == [not trains, True], name


def test_training_stops_when_few_labels_change() -> None:
    x, _ = blobs()
    config = replace(CONFIG, update_interval=2 * STEPS, tolerance=1.0, learning_rate=1e-6)
    method = DEC(config, (4,), [0, 1])
    answers, reports = [], []
    for report in method.fit(x):
        answers.append(method.predict_log_proba(x))
        reports.append(report)
    converged = [r.metrics["converged"].tolist() for r in reports if r.stage == "clustering"]
    assert converged == [[0, 0], [0, 0], [1, 1], [1, 1], [1, 1]]
    assert reports[5].metrics["changed"].tolist() == [0, 0]
    assert not torch.equal(answers[3], answers[4])
    assert torch.equal(answers[4], answers[7])


def test_changed_labels_are_counted() -> None:
    q = torch.tensor([[[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]]).repeat(2, 1, 1)
    target = Target(2, "cpu")
    target.update(q.log(), 0.3)
    assert target.following.all()
    other = q.clone()
    other[0, 0], other[1, :2] = q[0, 2], q[0, 2]
    target.update(other.log(), 0.3)
    assert target.changed.tolist() == [0.25, 0.5]
    assert target.following.tolist() == [False, True]


def test_self_training_makes_assignments_more_certain() -> None:
    x, _ = blobs()
    config = replace(CONFIG, learning_rate=0.1, epochs=15)
    method, certainty = DEC(config, (4,), [0, 1]), []
    for report in method.fit(x):
        if report.epoch >= 4:
            certainty.append(method.predict_log_proba(x).exp().amax(dim=2).mean(dim=1))
    assert (certainty[-1] > certainty[0] + 0.02).all()


@pytest.mark.parametrize("keep", [False, True])
def test_results_do_not_depend_on_the_unit_of_the_data(keep: bool) -> None:
    x, _ = blobs()
    config = replace(CONFIG, keep_decoder=keep)
    small, large = (DEC(config, (4,), [0]) for _ in range(2))
    for one, two in zip(small.fit(x), large.fit(64 * x), strict=True):
        for name, value in one.metrics.items():
            torch.testing.assert_close(two.metrics[name], value)
    torch.testing.assert_close(large.predict_log_proba(64 * x), small.predict_log_proba(x))
    scaled = 64 * x * large.network.scale
    torch.testing.assert_close(scaled.square().mean(), torch.tensor(1.0))


def test_its_pretraining_is_not_shared_with_that_on_unscaled_data() -> None:
    names = ("latent_size", "hidden_sizes", "output", "pretraining_epochs")
    same = {name: getattr(CONFIG, name) for name in names}
    other = AEGMMConfig(**same, pretraining_learning_rate=1e-2, pretraining_batch_size=64)
    assert CONFIG.pretraining["scaled"] is True
    assert other.pretraining == {**CONFIG.pretraining, "scaled": False}
    assert replace(CONFIG, keep_decoder=True).pretraining == CONFIG.pretraining


@pytest.mark.parametrize("unit", [1.0, 3.0])
def test_a_decoder_kept_in_training_reconstructs_in_the_unit_of_the_data(unit: float) -> None:
    x = unit * blobs()[0]
    method = DEC(
        replace(CONFIG, keep_decoder=True, pretraining_epochs=20, epochs=20), (4,), [0, 1]
    )
    list(method.fit(x))
    for clusterer in method.clusterers():
        assert isinstance(clusterer, Decodes)
        error = (clusterer.reconstruct(x) - x).square().mean()
        assert error < 0.1 * x.square().mean()


def test_reconstructions_are_rescaled_decoded_codes() -> None:
    x = 3 * blobs()[0]
    method = DEC(replace(CONFIG, keep_decoder=True, epochs=1), (4,), [0, 1])
    list(method.fit(x))
    size = x.square().mean().sqrt()
    clusterer = method.clusterers()[1]
    assert isinstance(clusterer, Decodes)
    coder = method.network.autoencoder
    decoded = coder.decode(coder.encode((x / size).expand(2, -1, -1)))[1].detach()
    torch.testing.assert_close(clusterer.reconstruct(x), size * decoded)


def test_only_a_decoder_kept_in_training_is_exposed() -> None:
    kept = replace(CONFIG, keep_decoder=True)
    assert issubclass(DEC.clusterer_of(kept), Decodes)
    assert not issubclass(DEC.clusterer_of(CONFIG), Decodes)
    for config in (CONFIG, kept):
        made: list[Clusterer] = DEC(config, (4,), [0]).clusterers()
        assert type(made[0]) is DEC.clusterer_of(config)


def test_a_cap_shortens_both_stages() -> None:
    caps = [CONFIG.capped(epochs) for epochs in (1, 2, 3, 4, 6, 7, 8, 100)]
    stages = [(c.pretraining_epochs, c.epochs) for c in caps]
    assert stages == [(0, 1), (1, 1), (1, 2), (2, 2), (3, 3), (3, 4), (3, 5), (3, 5)]
    stages = [report.stage for report in trained(CONFIG.capped(4), [0])[1]]
    assert stages == ["pretraining"] * 2 + ["clustering"] * 2
