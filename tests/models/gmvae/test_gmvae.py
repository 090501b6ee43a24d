"""The Gaussian mixture VAE against its paper: every term, the constraint, the tables' layers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from tuner.errors import DataError, UsageError
from tuner.models._kit.distributions import diagonal_normal, log_scale_normal
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import Conv, ConvTranspose, Linear, initialise
from tuner.models.gmvae import method as gmvae
from tuner.models.gmvae.bound import Terms, _ScaledDistance, log_density_and_kl, lower_bound
from tuner.models.gmvae.method import GMVAE, GMVAEClusterer, GMVAEConfig
from tuner.models.gmvae.networks import GMVAENetwork

SMALL = GMVAEConfig(
    n_components=3, code_size=2, style_size=2, hidden_size=8, prior_hidden_size=8, batch_norm=False
)


def gaussians(*shape: int, seed: int) -> Independent:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(*shape, generator=generator)
    return log_scale_normal(mean, 2 * (0.3 + torch.rand(*shape, generator=generator)).log())


def spread(network: GMVAENetwork, by: float = 6.0) -> GMVAENetwork:
    """Return a network whose components lie apart, so that no term is near zero."""
    with torch.no_grad():
        network.components_head.weight *= by
        network.components_head.bias *= by
    return network


def built(config: GMVAEConfig, *shape: int, seeds: tuple[int, ...] = (0,)) -> GMVAENetwork:
    network = GMVAENetwork(len(seeds), shape, config)
    initialise(network, Draws(seeds))
    network.style_prior.scatter(Draws(seeds))
    return spread(network)


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(n))


def test_densities_and_divergences_are_torch_s() -> None:
    code, components = gaussians(2, 5, 4, seed=0), gaussians(2, 5, 3, 4, seed=1)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(2))
    log_density, divergence = log_density_and_kl(code, components, x)
    torch.testing.assert_close(log_density, components.log_prob(x.unsqueeze(2)))
    q = Normal(code.mean.unsqueeze(2), code.stddev.unsqueeze(2))
    p = Normal(components.mean, components.stddev)
    torch.testing.assert_close(divergence, kl_divergence(q, p).sum(dim=3))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_is_equation_4_draw_by_draw(likelihood: str) -> None:
    config = replace(SMALL, likelihood=likelihood)
    network, y = built(config, 6, seeds=(0, 1)), images(10, 6).reshape(2, 5, 6)
    terms = lower_bound(network, y, Draws([3, 4]), 2)
    draws = Draws([3, 4])
    noise_x, noise_w = draws.normal(1, 2, 5, 2).squeeze(1), draws.normal(1, 2, 5, 2).squeeze(1)
    qx, qw = network.encode(y)
    for j in range(2):
        x, w = qx.mean + qx.stddev * noise_x[:, j], qw.mean + qw.stddev * noise_w[:, j]
        components, now = network.components(w), slice(5 * j, 5 * j + 5)
        joint = torch.stack([n.log_prob(x) for n in each(components)], dim=2)
        z = Categorical(logits=joint)
        prior = Categorical(logits=torch.zeros(2, 5, 3))
        divergences = [
            kl_divergence(Normal(qx.mean, qx.stddev), n.base_dist).sum(dim=2)
            for n in each(components)
        ]
        conditional = (z.probs * torch.stack(divergences, dim=2)).sum(dim=2)
        torch.testing.assert_close(terms.conditional_prior[:, now], conditional)
        torch.testing.assert_close(terms.z_prior[:, now], kl_divergence(z, prior))
        style = kl_divergence(Normal(qw.mean, qw.stddev), Normal(0.0, 1.0)).sum(dim=2)
        torch.testing.assert_close(terms.w_prior[:, now], style)
        reconstruction = observed(network, x).log_prob(y).sum(dim=2)
        torch.testing.assert_close(terms.reconstruction[:, now], reconstruction)


def each(components: Independent) -> list[Independent]:
    mean, scale = components.mean, components.stddev
    # torch's own densities and divergences are what ours are held against
    return [diagonal_normal(mean[:, :, k], scale[:, :, k]) for k in range(mean.shape[2])]


def observed(network: GMVAENetwork, x: Tensor) -> Bernoulli | Normal:
    parameters = network.decoder(x)
    if network.config.likelihood == "bernoulli":
        return Bernoulli(logits=parameters, validate_args=False)
    mean, log_variance = parameters.chunk(2, dim=2)
    return Normal(mean, math.sqrt(network.config.variance_floor) + (log_variance / 2).exp())


def test_equation_5_is_no_tighter_than_summing_the_cluster_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gmvae, "BOUND_SAMPLES", 4000)
    y, network = images(4, 6), built(SMALL, 6)
    with torch.no_grad():
        network.components_head.bias[..., 6:] = -2.0  # narrow components: a gap to see
        network.heads.bias[..., 2:4] = 0.0
        loose = lower_bound(network, y[None], Draws([9]), 4000).elbo().reshape(4000, 4).mean(dim=0)
    tight = GMVAEClusterer(SMALL, (6,), network.state_dict()).elbo(y)
    assert (loose < tight - 0.1).all(), (loose, tight)


def test_distances_have_the_gradients_of_torch() -> None:
    shapes = ((2, 3, 1, 5), (2, 3, 4, 5), (2, 3, 4, 5))
    arguments = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(_ScaledDistance.apply, arguments)
    z, mean, inverse_scale = arguments
    expected = ((z - mean) * inverse_scale).square().sum(dim=3)
    torch.testing.assert_close(_ScaledDistance.apply(*arguments), expected)


def test_rounding_errors_do_not_grow_while_the_divergences_weigh_little() -> None:
    """The bias of the code's mean, which the decoder's norm cancels, follows a real gradient."""
    config = replace(SMALL, warm_up=1.0, epochs=4, learning_rate=1e-2, batch_norm=True)
    x = images(60, 6)
    single, double = GMVAE(config, (6,), [0]), GMVAE(config, (6,), [0])
    double.network.double()
    draw = double.draws.normal
    double.draws.normal = lambda *shape: draw(*shape).double()  # type: ignore[method-assign]
    for _ in zip(single.fit(x), double.fit(x.double()), strict=True):
        pass
    code = slice(0, config.code_size)
    gap = single.network.heads.bias[..., code] - double.network.heads.bias[..., code]
    assert gap.abs().max() < 1e-4


def test_the_constraint_is_on_each_replica_s_own_mean() -> None:
    z_prior = torch.tensor([[0.0, 2.0], [0.0, 0.2], [1.5, 1.7]], requires_grad=True)
    zeros = torch.zeros(3, 2)
    terms = Terms(reconstruction=zeros, conditional_prior=zeros, w_prior=zeros, z_prior=z_prior)
    value = loss_of(replace(SMALL, information_threshold=1.0), terms)
    least = math.log(3)  # point by point, the first were above it
    torch.testing.assert_close(value, torch.tensor([least, least, 1.6]))
    value.sum().backward()
    expected = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.5, 0.5]])
    assert z_prior.grad is not None
    assert torch.equal(z_prior.grad, expected)


def loss_of(config: GMVAEConfig, terms: Terms, *, epoch: int = 1) -> Tensor:
    method = GMVAE(config, (6,), [0])
    return method._objective(terms.means(), method._divergence_weight(epoch))


def test_the_threshold_is_a_fraction_of_log_k() -> None:
    ones = torch.ones(1, 4)
    terms = Terms(reconstruction=ones, conditional_prior=ones, w_prior=ones, z_prior=0 * ones)
    held = loss_of(replace(SMALL, information_threshold=0.5), terms)
    torch.testing.assert_close(held, torch.tensor([1 + 0.5 * math.log(3)]))
    torch.testing.assert_close(loss_of(SMALL, terms), -terms.elbo().mean(dim=1))


def test_warm_up_raises_the_weight_of_the_divergences_to_one() -> None:
    terms = Terms(*(torch.full((1, 4), value) for value in (5.0, 1.0, 2.0, 0.5)))
    config = replace(SMALL, warm_up=0.5, epochs=8, reconstruction_weight=2.0)
    losses = [float(loss_of(config, terms, epoch=epoch)) for epoch in range(1, 9)]
    weights = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert losses == pytest.approx([3.5 * weight - 10 for weight in weights])
    assert float(loss_of(replace(config, warm_up=0.0), terms)) == pytest.approx(3.5 - 10)


def shapes(network: GMVAENetwork, kind: type) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape[1:]) for m in network.modules() if isinstance(m, kind)]


def test_the_layers_for_mnist_are_the_tables() -> None:
    network = built(GMVAEConfig(architecture="mnist"), 28, 28)
    assert shapes(network, Conv) == [(16, 1, 6, 6), (32, 16, 6, 6), (64, 32, 4, 4)]
    assert shapes(network, ConvTranspose) == [(64, 32, 4, 4), (32, 16, 6, 6), (16, 1, 6, 6)]
    encoder, decoder = [(5184, 500)], [(200, 500), (500, 5184)]
    heads = [(150, 500), (500, 2 * (200 + 150)), (500, 2 * 10 * 200)]
    assert sorted(shapes(network, Linear)) == sorted(encoder + decoder + heads)
    assert network.decode(torch.zeros(1, 3, 200)).event_shape == (784,)


def test_the_layers_for_svhn_are_the_tables() -> None:
    network = built(GMVAEConfig(architecture="svhn"), 3, 32, 32)
    assert shapes(network, Conv) == [(64, 3, 4, 4), (128, 64, 4, 4), (246, 128, 4, 4)]
    assert shapes(network, ConvTranspose) == [(246, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert (3936, 500) in shapes(network, Linear)
    assert network.decode(torch.zeros(1, 2, 200)).event_shape == (3072,)


def test_the_layers_for_arcs_are_the_tables() -> None:
    config = GMVAEConfig(
        n_components=5,
        code_size=2,
        style_size=2,
        hidden_size=120,
        prior_hidden_size=120,
        likelihood="gaussian",
    )
    expected = [(2, 120), (120, 120), (120, 8), (2, 120), (120, 20)]  # q(x, w | y), p(x | w, z)
    expected += [(2, 120), (120, 120), (120, 4)]  # p(y | x)
    assert sorted(shapes(built(config, 2), Linear)) == sorted(expected)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [("mnist", (64,)), ("mnist", (27, 27)), ("mnist", (10, 10)), ("svhn", (3, 28, 30))],
)
def test_images_that_the_layers_do_not_fit_are_refused(
    architecture: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError, match="perceptron"):
        GMVAE(GMVAEConfig(architecture=architecture), shape, [0])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_convolutional_replicas_train_together_as_alone(likelihood: str) -> None:
    config = replace(SMALL, architecture="mnist", batch_size=8, epochs=1, likelihood=likelihood)
    x = images(16, 12, 14)
    together, alone = GMVAE(config, (12, 14), [3, 4]), GMVAE(config, (12, 14), [4])
    (a,), (b,) = together.fit(x), alone.fit(x)
    torch.testing.assert_close(a.metrics["loss"][1:], b.metrics["loss"], rtol=1e-4, atol=0)
    both, own = together.predict_log_proba(x), alone.predict_log_proba(x)
    torch.testing.assert_close(both[1:], own, rtol=1e-4, atol=1e-4)
    clusterer = together.clusterers()[1]
    assert isinstance(clusterer, GMVAEClusterer)
    torch.testing.assert_close(clusterer.predict_log_proba(x), both[1])
    assert clusterer.reconstruct(x).shape == x.shape


def test_training_raises_the_bound_and_reports_the_unclamped_term() -> None:
    config = replace(SMALL, learning_rate=1e-2, epochs=30, information_threshold=0.9)
    x = images(200, 6)
    reports = list(GMVAE(config, (6,), [0, 1]).fit(x))
    assert [r.epoch for r in reports] == list(range(1, 31))
    first, last = reports[0].metrics, reports[-1].metrics
    assert (last["reconstruction"] > first["reconstruction"]).all()
    assert (first["z_prior"] < 0.9 * math.log(3)).all()
    parts = [last[name] for name in ("conditional_prior", "w_prior", "z_prior")]
    torch.testing.assert_close(last["elbo"], last["reconstruction"] - sum(parts))


def test_the_constraint_keeps_clusters_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = 3 * torch.tensor([[0.0, 1.0], [0.9, -0.5], [-0.9, -0.5]])
    x = corners.repeat(60, 1) + 0.3 * torch.randn(180, 2, generator=generator)
    config = replace(
        SMALL, hidden_size=32, prior_hidden_size=32, likelihood="gaussian", learning_rate=1e-2
    )
    term = {}
    for threshold in (0.0, 0.9):
        method = GMVAE(replace(config, information_threshold=threshold, epochs=60), (2,), [0, 1])
        *_, last = method.fit(x)
        term[threshold] = last.metrics["z_prior"]
    assert (term[0.0] < 0.1).all()
    assert (term[0.9] > 0.4 * math.log(3)).all()


@pytest.mark.parametrize("bad", [-0.01, 1.01])
def test_a_bernoulli_likelihood_needs_the_unit_interval(bad: float) -> None:
    x = images(20, 6)
    x[3, 2] = bad
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        next(iter(GMVAE(SMALL, (6,), [0]).fit(x)))
    next(iter(GMVAE(replace(SMALL, likelihood="gaussian"), (6,), [0]).fit(x)))
    assert GMVAEConfig.forced_by(unit_interval=False) == {"likelihood": "gaussian"}
    assert GMVAEConfig.forced_by(unit_interval=True) == {}


def test_a_variance_is_never_below_the_floor() -> None:
    config = replace(SMALL, likelihood="gaussian", variance_floor=0.04)
    network = built(config, 6)
    with torch.no_grad():
        network.decoder.get_parameter("output.bias")[..., 6:] = -100.0
    assert network.decode(torch.zeros(1, 1, 2)).variance.min() >= 0.04 - 1e-6


def clusterer(config: GMVAEConfig = SMALL) -> GMVAEClusterer:
    return GMVAEClusterer(config, (2, 3), built(config, 2, 3).state_dict())


def test_a_point_s_bound_is_its_own_and_repeatable() -> None:
    model, x = clusterer(), images(7, 2, 3)
    bound = model.elbo(x)
    torch.testing.assert_close(model.elbo(x[4:5]), bound[4:5])
    assert torch.equal(model.elbo(x), bound)


def test_the_bound_lies_below_the_likelihood() -> None:
    model = clusterer()
    y = (images(40, 2, 3) > 0.5).float()
    draws, log_p = Draws([1]), []
    for _ in range(200):
        w = draws.normal(100, 2)
        components = model.network.components(w)
        z = draws.permutation(3)[:, :1].expand(1, 100)
        x = components.mean[0, torch.arange(100), z[0]]
        x = x + components.stddev[0, torch.arange(100), z[0]] * draws.normal(100, 2)[0]
        p = Bernoulli(logits=model.network.decoder(x[None])[0])
        log_p.append(p.log_prob(y.flatten(1)[:, None]).sum(dim=2))
    log_likelihood = torch.cat(log_p, dim=1).logsumexp(dim=1) - math.log(20000)
    assert (model.elbo(y) < log_likelihood + 0.05).all()


def test_samples_come_from_their_component_with_any_style_or_a_given_one() -> None:
    config = replace(SMALL, likelihood="gaussian")
    model = clusterer(config)
    assert model.sample(1, 5, 0).shape == (5, 2, 3)
    assert torch.equal(model.sample(1, 5, 0), model.sample(1, 5, 0))
    assert not torch.equal(model.sample(1, 5, 0), model.sample(1, 5, 1))
    zeros = torch.zeros(2000, 2)
    own = model.network.components(torch.zeros(1, 1, 2))
    for k in range(3):
        with torch.no_grad():
            model.network.decoder.get_parameter("output.bias").zero_()
        codes = own.mean[0, 0, k] + own.stddev[0, 0, k] * Draws([5]).normal(2000, 2)[0]
        expected = model.network.decode(codes[None]).mean[0].reshape(2000, 2, 3)
        torch.testing.assert_close(model.sample(k, 2000, 5, style=zeros), expected)


def slopes(network: GMVAENetwork) -> Tensor:
    """Return how far all components' means move with each style, (W, K, D), style by style."""
    rows = []
    for j in range(network.config.style_size):
        step = torch.zeros(1, 1, network.config.style_size)
        step[0, 0, j] = 1.0
        forth, back = network.components(step).mean[0, 0], network.components(-step).mean[0, 0]
        rows.append((forth - back).detach() / 2)
    return torch.stack(rows)


def test_the_style_axis_moves_the_components_more_than_any_other_direction() -> None:
    network = built(replace(SMALL, style_size=5), 6, seeds=(0, 1))
    axes = network.style_axis()
    torch.testing.assert_close(axes.norm(dim=1), torch.ones(2))
    single = built(replace(SMALL, style_size=5), 6)
    axis, moved = single.style_axis()[0].detach(), slopes(single).flatten(1)
    torch.testing.assert_close(axes[0].detach(), axis)
    assert axis[axis.abs().argmax()] > 0
    others = torch.nn.functional.normalize(images(500, 5) - 0.5, dim=1)
    assert ((others @ moved).norm(dim=1) <= (axis @ moved).norm() + 1e-5).all()
    gram = np.asarray(moved @ moved.T, dtype=np.float64)
    expected = np.linalg.eigvalsh(gram)[-1] ** 0.5
    assert float((axis @ moved).norm()) == pytest.approx(expected, rel=1e-4)


def test_a_traversal_keeps_the_component_and_moves_the_style() -> None:
    model = clusterer(replace(SMALL, likelihood="gaussian"))
    axis = model.network.style_axis()[0]
    assert model.traverse(1, 5).shape == (5, 2, 3)
    for k in range(3):
        passed = model.traverse(k, 5)
        for step, along in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
            w = (along * axis).reshape(1, 1, 2)
            mean = model.network.components(w).mean[0, 0, k]
            expected = model.network.decode(mean.reshape(1, 1, 2)).mean.reshape(2, 3)
            torch.testing.assert_close(passed[step], expected)


def test_curves_are_in_nats_and_the_z_term_knows_its_threshold() -> None:
    config = replace(SMALL, information_threshold=0.5)
    curves = config.metric_info()
    assert {curve.unit for curve in curves.values()} == {"nats"}
    assert curves["z_prior"].levels == pytest.approx(
        {"log K": math.log(3), "threshold λ": 0.5 * math.log(3)}
    )
    assert config.threshold == curves["z_prior"].levels["threshold λ"]


def test_clusters_are_told_at_the_means() -> None:
    model, x = clusterer(), images(7, 2, 3)
    code, style = model.network.encode(x.reshape(1, 7, 6))
    joint = model.network.components(style.mean).log_prob(code.mean.unsqueeze(2))
    torch.testing.assert_close(model.predict_log_proba(x), joint.log_softmax(dim=2)[0])
    torch.testing.assert_close(model.embed(x), code.mean[0])


def test_a_shortened_schedule_keeps_the_share_of_its_warm_up() -> None:
    config = GMVAEConfig(epochs=100, warm_up=0.5).capped(10)
    assert (config.epochs, config.passes, config.warm_up) == (10, 10, 0.5)
    assert GMVAEConfig(epochs=5).capped(10).epochs == 5
    ramp = [
        GMVAE(replace(SMALL, epochs=10, warm_up=0.5), (6,), [0])._divergence_weight(e)
        for e in range(1, 11)
    ]
    np.testing.assert_allclose(ramp, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])
