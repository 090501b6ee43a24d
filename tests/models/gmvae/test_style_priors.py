"""Priors of the style against torch's own mixtures, and the model that trains one."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from tuner.models._kit.distributions import diagonal_normal, rsample
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import initialise
from tuner.models.gmvae.method import GMVAE, GMVAEClusterer, GMVAEConfig
from tuner.models.gmvae.networks import GMVAENetwork
from tuner.models.gmvae.style_priors import MixtureStyle, StandardStyle
from tuner.testing import Check, Subject, checks

_TINY = Subject.of("gmvae")
SUBJECT = replace(_TINY, config=replace(_TINY.config, style_components=3))
KEPT = (
    "training_resumes_exactly",
    "clusterers_can_be_saved_and_loaded",
    "gradients_reach_every_parameter",
    "replicas_are_independent",
    "traversals_follow_one_line",
)

SMALL = GMVAEConfig(
    n_components=3,
    code_size=2,
    style_size=2,
    style_components=3,
    hidden_size=8,
    prior_hidden_size=8,
    batch_norm=False,
)


def mixture(stack: int = 2, components: int = 3, size: int = 2) -> MixtureStyle:
    prior, draws = MixtureStyle(stack, components, size), Draws(range(stack))
    with torch.no_grad():
        prior.mixture.logits.copy_(draws.normal(components))
        prior.mixture.means.copy_(2 * draws.normal(components, size))
        prior.mixture.log_variances.copy_(draws.normal(components, size) - 1)
    return prior


def torch_s(prior: MixtureStyle, network: int) -> MixtureSameFamily:
    own = prior.mixture
    scale = (own.log_variances[network] / 2).exp().detach()
    components = diagonal_normal(own.means[network].detach(), scale)
    return MixtureSameFamily(Categorical(logits=own.logits[network].detach()), components)


def test_the_divergence_from_a_mixture_is_the_mean_of_log_q_minus_log_p() -> None:
    prior, draws, M = mixture(), Draws([5, 6]), 40_000
    q = diagonal_normal(draws.normal(2, 2), 0.3 + draws.uniform(2, 2))
    w = rsample(q, draws, M)
    estimate = prior.divergence(q, w).unflatten(1, (M, 2)).mean(dim=1)
    for s in range(2):
        own = w[s].unflatten(0, (M, 2))
        log_q = Normal(q.mean[s], q.stddev[s]).log_prob(own).sum(dim=-1)
        expected = (log_q - torch_s(prior, s).log_prob(own)).mean(dim=0)
        torch.testing.assert_close(estimate[s], expected, atol=0.03, rtol=0)


def test_one_standard_component_diverges_as_the_closed_form_says() -> None:
    draws = Draws([5])
    q = diagonal_normal(draws.normal(4, 2), 0.3 + draws.uniform(4, 2))
    w = rsample(q, draws, 40_000)
    exact = StandardStyle(2).divergence(q, w)
    assert exact.shape == (1, 160_000)
    closed = kl_divergence(Normal(q.mean, q.stddev), Normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(exact[:, :4], closed)
    estimate = MixtureStyle(1, 1, 2).divergence(q, w).unflatten(1, (-1, 4)).mean(dim=1)
    torch.testing.assert_close(estimate, exact[:, :4], atol=0.03, rtol=0)


def test_styles_are_drawn_from_the_mixture_and_the_line_has_its_moments() -> None:
    prior = mixture()
    drawn = prior.sample(50_000, Draws([1, 2]))
    assert drawn.shape == (2, 50_000, 2)
    axis = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0], [3.0, -1.0]]), dim=1)
    mean = prior.add_to_mean(torch.zeros(2, 1, 2)).squeeze(1)
    torch.testing.assert_close(drawn.mean(dim=1), mean, atol=0.05, rtol=0)
    projected = (drawn * axis.unsqueeze(1)).sum(dim=-1)
    scale = prior.std_along(axis)
    torch.testing.assert_close(projected.std(dim=1, keepdim=True), scale, atol=0.03, rtol=0)
    for s in range(2):
        torch.testing.assert_close(mean[s], torch_s(prior, s).mean)


def test_the_bound_with_a_mixture_of_styles_lies_below_the_likelihood() -> None:
    network = GMVAENetwork(1, (6,), SMALL)
    initialise(network, Draws([0]))
    network.style_prior = mixture(1)
    y = (images(30) > 0.5).float()
    bound = GMVAEClusterer(SMALL, (6,), network.state_dict()).elbo(y)
    draws, log_p = Draws([1]), []
    for _ in range(200):
        components = network.components(network.style_prior.sample(100, draws))
        z = draws.permutation(3)[:, :1].expand(1, 100)
        x = components.mean[0, torch.arange(100), z[0]]
        x = x + components.stddev[0, torch.arange(100), z[0]] * draws.normal(100, 2)[0]
        log_p.append(network.decode(x[None]).log_prob(y[:, None]).detach())
    log_likelihood = torch.cat(log_p, dim=1).logsumexp(dim=1) - math.log(20_000)
    assert (bound < log_likelihood + 0.05).all()


def test_the_mixture_trains_and_replicas_do_as_alone() -> None:
    config = replace(SMALL, epochs=2, batch_size=30, learning_rate=1e-2)
    x = images(60)
    together, alone = GMVAE(config, (6,), [3, 4]), GMVAE(config, (6,), [4])
    before = {name: t.clone() for name, t in together.parameters() if "style_prior" in name}
    assert len(before) == 3
    for a, b in zip(together.fit(x), alone.fit(x), strict=True):
        torch.testing.assert_close(a.metrics["loss"][1:], b.metrics["loss"], rtol=1e-4, atol=0)
    after = dict(together.parameters())
    assert all((after[name] != t).any() for name, t in before.items())
    own = together.predict_log_proba(x)[1:]
    torch.testing.assert_close(own, alone.predict_log_proba(x), rtol=1e-4, atol=1e-4)


def test_the_style_axis_and_its_line_follow_the_trained_prior() -> None:
    network = GMVAENetwork(1, (6,), SMALL)
    initialise(network, Draws([0]))
    prior = network.style_prior = mixture(1)
    network.requires_grad_(False)
    centre, axis = torch_s(prior, 0).mean, network.style_axis()[0]
    forth, back = (
        torch.stack([network.components((centre + s * e)[None, None]).mean[0, 0] for e in eye])
        for s, eye in ((1, torch.eye(2)), (-1, torch.eye(2)))
    )
    slopes = (forth - back).flatten(1).detach()
    angles = torch.linspace(0, math.pi, 500)
    most = torch.stack([angles.cos(), angles.sin()], dim=1) @ slopes
    assert float((axis @ slopes).norm()) >= float(most.norm(dim=1).max()) - 1e-5
    model = GMVAEClusterer(SMALL, (6,), network.state_dict())
    ends = centre + torch.tensor([[-2.0], [2.0]]) * prior.std_along(axis[None])[0] * axis
    codes = network.components(ends[None]).mean[:, :, 1]
    expected = network.decode(codes).mean[0]
    torch.testing.assert_close(model.traverse(1, 2), expected)


@pytest.mark.parametrize(
    "check", [c for c in checks(SUBJECT) if c.__name__ in KEPT], ids=lambda c: c.__name__
)
def test_the_contract_is_kept_with_a_mixture_of_styles(check: Check) -> None:
    check(SUBJECT)


def images(n: int) -> Tensor:
    return torch.rand(n, 6, generator=torch.Generator().manual_seed(n))
