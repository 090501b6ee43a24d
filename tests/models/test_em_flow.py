"""One flow per cluster: densities, their stack, and expectation maximisation."""

import math

import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.func import functional_call
from zuko.flows import MAF, NSF

from tuner.models._kit.draws import Draws
from tuner.models._kit.starts import kmeans_partition
from tuner.models.em_flow.flows import FlowStack
from tuner.models.em_flow.method import EMFlow, EMFlowClusterer, EMFlowConfig
from tuner.models.em_flow.principal_axes import weighted_moments

PLANE = EMFlowConfig(
    n_components=2,
    transforms=2,
    hidden_size=16,
    iterations=15,
    m_step_epochs=1,
    learning_rate=5e-3,
    batch_size=50,
)


def stack(coupling: str, stack: int = 3, features: int = 2) -> FlowStack:
    """Return flows far from the identity with different weights."""
    flows = FlowStack(stack, features, coupling=coupling, transforms=2, hidden=16, bins=6)
    flows.initialise(Draws([5]))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flows.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return flows


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grid(limit: float, step: float) -> Tensor:
    axis = torch.arange(-limit, limit, step) + step / 2
    return torch.cartesian_prod(axis, axis)


@pytest.mark.parametrize(("coupling", "kind"), [("spline", NSF), ("affine", MAF)])
def test_a_stack_matches_a_loop_over_zuko_flows(coupling: str, kind: type) -> None:
    flows, x = stack(coupling, features=5), normal(3, 20, 5)
    answer = flows.log_prob(x)
    answer.sum().backward()
    sizes = {"bins": 6} if kind is NSF else {}
    for s in range(3):
        lone = kind(5, transforms=2, passes=2, hidden_features=(16, 16), **sizes)
        own = {
            name.replace("flow.couplings", "transform.transforms"): tensor[s].detach().clone()
            for name, tensor in flows.state_dict().items()
            if "couplings" in name
        }
        lone.load_state_dict(own, strict=False)
        LU, shift = flows.flow.scale.LU[s], flows.flow.shift.shift[s]
        matrix = (LU.tril() @ (LU.triu(1) + torch.eye(5))).detach()
        expected = lone().log_prob(x[s] @ matrix.T + shift.detach()) + matrix.det().abs().log()
        torch.testing.assert_close(answer[s], expected, rtol=1e-4, atol=1e-4)
        expected.sum().backward()
        for name, parameter in lone.transform.named_parameters():
            stacked = flows.get_parameter(name.replace("transforms", "flow.couplings")).grad
            torch.testing.assert_close(stacked[s], parameter.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("coupling", ["spline", "affine"])
def test_a_flow_inverts_and_its_log_determinant_is_correct(coupling: str) -> None:
    flows, x = stack(coupling, features=3), normal(3, 8, 3)
    z, log_volume = flows(x)
    torch.testing.assert_close(flows.inverse(z), x, rtol=1e-3, atol=1e-3)
    for s in range(3):
        tensors = {name: tensor[s] for name, tensor in flows.flow.state_dict().items()}
        for point, found in zip(x[s], log_volume[s], strict=True):
            jacobian = torch.autograd.functional.jacobian(
                lambda p, own=tensors: functional_call(flows.flow, own, (p, False))[0], point
            )
            torch.testing.assert_close(jacobian.det().abs().log(), found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("coupling", ["spline", "affine"])
@torch.no_grad()
def test_a_likelihood_integrates_to_one(coupling: str) -> None:
    step = 0.1
    points = grid(12, step)
    for s, mass in enumerate(stack(coupling).log_prob(points.expand(3, -1, -1)).exp().sum(1)):
        assert mass * step**2 == pytest.approx(1, abs=0.01), s


def test_creating_flows_changes_neither_global_state_nor_validation_in_torch() -> None:
    before = torch.get_rng_state()
    stack("spline")
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0)


def test_flows_start_as_the_gaussians_of_their_points() -> None:
    x = normal(200, 3) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 3, 0.5]]) + 4
    flows = FlowStack(1, 3, coupling="affine", transforms=0, hidden=8, bins=4)
    mean, covariance = weighted_moments(x, torch.ones(1, 200))
    flows.set_whitening(mean, covariance)
    torch.testing.assert_close(mean[0], x.double().mean(0))
    torch.testing.assert_close(covariance[0], x.double().T.cov(correction=0), rtol=0.01, atol=0.01)
    expected = MultivariateNormal(mean[0], covariance[0]).log_prob(x.double()).float()
    torch.testing.assert_close(flows.log_prob(x.unsqueeze(0))[0], expected, rtol=1e-4, atol=1e-3)


def test_em_without_couplings_matches_a_gaussian_mixture() -> None:
    shape = torch.tensor([[1.0, 0.6], [0.0, 0.5]])
    x = torch.cat([normal(150, 2) @ shape, normal(100, 2, seed=1) + torch.tensor([1.5, 2.0])])
    config = EMFlowConfig(
        n_components=2,
        transforms=0,
        diffusion_steps=0,
        weights="fitted",
        iterations=25,
        m_step_epochs=6,
        learning_rate=2e-2,
        batch_size=125,
    )
    method = EMFlow(config, (2,), [0])
    values = [r.metrics["log_likelihood"] for r in method.fit(x) if r.epoch % 6 == 0]
    u = torch.nn.functional.one_hot(kmeans_partition(x, 2, 0)).double()
    by_hand = GaussianMixture(2, max_iter=25, tol=0, reg_covar=1e-4, warm_start=True)
    by_hand._initialize(x.double().numpy(), u.numpy())
    by_hand.converged_ = False
    means, covariances = by_hand.means_, by_hand.covariances_
    reference = GaussianMixture(
        2,
        max_iter=25,
        tol=0,
        weights_init=by_hand.weights_,
        means_init=means,
        precisions_init=torch.tensor(covariances).inverse().numpy(),
    )
    with pytest.warns(match="did not converge"):
        reference.fit(x.double().numpy())
    target = reference.score(x.double().numpy())
    assert values[-1].item() == pytest.approx(target, abs=0.01)
    assert values[-1] > values[0]
    found = method.predict_log_proba(x)[0].exp().double()
    expected = torch.tensor(reference.predict_proba(x.double().numpy()))
    assert (found - expected).abs().mean() < 0.03


def test_principal_axes_leave_a_density_of_x() -> None:
    scales = torch.tensor([3.0, 2.0, 0.3, 0.2, 0.1])
    x = normal(300, 5) * scales @ torch.linalg.qr(normal(5, 5, seed=2)).Q + 1
    config = EMFlowConfig(
        n_components=2, transforms=0, principal_axes=2, iterations=2, m_step_epochs=1
    )
    method = EMFlow(config, (5,), [3])
    *_, last = method.fit(x)
    (clusterer,) = method.clusterers()
    axes = method.network.principal
    assert axes is not None
    W, m = axes.axes[0].double(), axes.mean[0, 0].double()
    across = torch.eye(5, dtype=torch.double) - W @ W.T
    variance = torch.linalg.eigvalsh(x.double().T.cov(correction=0))[:3].mean()
    parts = []
    for LU, shift in zip(
        method.network.flows.flow.scale.LU.detach().double(),
        method.network.flows.flow.shift.shift.detach().double(),
        strict=True,
    ):
        back = (LU.tril() @ (LU.triu(1) + torch.eye(2))).inverse()
        covariance = W @ back @ back.T @ W.T + variance * across
        gaussian = MultivariateNormal(m - W @ back @ shift, covariance)
        parts.append(gaussian.log_prob(x.double()) - math.log(2))
    expected = torch.stack(parts).logsumexp(0).float()
    torch.testing.assert_close(clusterer.elbo(x), expected, rtol=1e-3, atol=1e-3)
    assert last.metrics["log_likelihood"].item() == pytest.approx(expected.mean().item(), abs=1e-3)
    drawn = clusterer.sample(1, 20_000, seed=0).double()
    wanted = gaussian.covariance_matrix
    assert (drawn.T.cov() - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert (drawn @ across).var(0).sum().item() == pytest.approx(3 * variance.item(), rel=0.03)


def moons(n: int) -> tuple[Tensor, Tensor]:
    x, y = make_moons(n, noise=0.06, random_state=0)
    x = (x - x.mean(0)) / x.std(0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def test_moons_that_k_means_splits_are_found_and_samples_follow_the_density() -> None:
    x, y = moons(800)
    method = EMFlow(PLANE, (2,), [0, 1, 2])
    likelihoods = torch.stack([r.metrics["log_likelihood"] for r in method.fit(x)])
    assert (likelihoods[-1] > likelihoods[0] + 0.3).all()
    best = int(likelihoods[-1].argmax())
    clusterer = method.clusterers()[best]
    assert isinstance(clusterer, EMFlowClusterer)
    assert adjusted_rand_score(y, clusterer.predict(x)) > 0.9
    assert adjusted_rand_score(y, kmeans_partition(x, 2, best)) < 0.5
    drawn, points = clusterer.sample(0, 20_000, seed=4), grid(3.5, 0.02)
    with torch.no_grad():
        density = clusterer.network.flows.log_prob(points.expand(2, -1, -1))[0].exp()
    edges = torch.linspace(-3, 3, 13)
    for axis in range(2):  # mass per interval of a feature, from the density and from samples
        cells = torch.bucketize(points[:, axis].contiguous(), edges)
        expected = torch.zeros(14).index_add(0, cells, density / density.sum())
        found = torch.bucketize(drawn[:, axis].contiguous(), edges).bincount(minlength=14) / 20_000
        assert (found - expected).abs().max() < 0.012


def test_a_temperature_softens_the_responsibilities_but_not_the_predictions() -> None:
    x, _ = moons(200)
    shares = []
    for temperature in (1.0, 5.0):
        config = EMFlowConfig(
            n_components=2,
            transforms=0,
            iterations=1,
            m_step_epochs=1,
            temperature=temperature,
            diffusion_steps=0,
        )
        method = EMFlow(config, (2,), [0])
        list(method.fit(x))
        assert method.shares.u is not None
        answer = method.predict_log_proba(x)
        torch.testing.assert_close(method.shares.u, (answer / temperature).softmax(-1))
        shares.append(answer)
    torch.testing.assert_close(*shares)


def test_noise_reduces_overfitting_of_the_likelihood() -> None:
    gaps = []
    x, fresh = normal(60, 8), normal(2000, 8, seed=1)
    for noise in (0.0, 0.5):
        config = EMFlowConfig(
            n_components=2, hidden_size=32, noise=noise, iterations=30, m_step_epochs=1
        )
        method = EMFlow(config, (8,), [0])
        list(method.fit(x))
        (clusterer,) = method.clusterers()
        assert isinstance(clusterer, EMFlowClusterer)
        gaps.append(clusterer.elbo(x).mean() - clusterer.elbo(fresh).mean())
    assert gaps[1] < gaps[0] / 2


def test_the_start_does_not_depend_on_the_units_of_features() -> None:
    x, _ = moons(300)
    shares = []
    for units in (torch.tensor([1.0, 1.0]), torch.tensor([100.0, 0.1])):
        method = EMFlow(PLANE.capped(1), (2,), [0])
        u, _, _, _ = method._prepare(x * units)
        shares.append(u)
    assert torch.equal(*shares)


def test_a_cluster_without_points_is_revived() -> None:
    x, _ = moons(300)
    method = EMFlow(PLANE, (2,), [0, 1])
    training = method.fit(x)
    next(training)
    u = method.shares.u
    assert u is not None
    u[1] = torch.tensor([1.0, 0.0])
    next(training)
    masses = method.shares.u.mean(1)
    assert masses[1].min() > 0.2
    assert method.predict_log_proba(x)[1].exp().mean(0).min() > 0.2


def test_a_cap_keeps_iterations() -> None:
    config = EMFlowConfig(iterations=50, m_step_epochs=5)
    assert config.capped(250) == config
    assert (config.capped(9).iterations, config.capped(9).m_step_epochs) == (3, 3)
    assert config.capped(1).passes == 1
