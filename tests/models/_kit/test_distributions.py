"""Distributions against torch's own, and draws from them."""

import torch
from torch.distributions import Categorical, Normal, kl_divergence

from tuner.models._kit.distributions import (
    diagonal_normal,
    kl_to_standard_normal,
    log_scale_normal,
    rsample,
    symmetric_divergence,
)
from tuner.models._kit.draws import Draws


def test_rsample_folds_draws_into_the_batch_and_knows_its_moments() -> None:
    mean = torch.arange(2 * 3 * 2, dtype=torch.float32).reshape(2, 3, 2)
    scale = torch.tensor([0.1, 2.0]).expand(2, 3, 2)
    x = rsample(diagonal_normal(mean, scale), Draws([0, 1]), samples=5000)
    assert x.shape == (2, 15000, 2)
    per_draw = x.unflatten(1, (5000, 3))
    torch.testing.assert_close(per_draw.mean(dim=1), mean, rtol=0, atol=0.15)
    torch.testing.assert_close(per_draw.std(dim=1), scale, rtol=0.05, atol=0)


def test_rsample_carries_gradients_to_mean_and_scale() -> None:
    mean = torch.zeros(1, 2, 3, requires_grad=True)
    scale = torch.ones(1, 2, 3, requires_grad=True)
    x = rsample(diagonal_normal(mean, scale), Draws([0]))
    x.sum().backward()
    assert mean.grad is not None
    assert scale.grad is not None
    assert torch.equal(mean.grad, torch.ones(1, 2, 3))
    torch.testing.assert_close(scale.grad, x.detach())


def test_a_normal_that_knows_its_log_scale_has_torch_s_density_and_entropy():
    mean, log_variance = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    own = log_scale_normal(mean, log_variance)
    theirs = diagonal_normal(mean, (0.5 * log_variance).exp())
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(own.log_prob(x), theirs.log_prob(x))
    torch.testing.assert_close(own.entropy(), theirs.entropy())
    torch.testing.assert_close(own.variance, theirs.variance)


def test_the_divergence_from_the_standard_normal_stays_finite_where_a_scale_vanishes() -> None:
    mean = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    ordinary = diagonal_normal(mean, 0.2 + mean.square())
    expected = kl_divergence(Normal(mean, 0.2 + mean.square()), Normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(kl_to_standard_normal(ordinary), expected)
    log_variance = torch.tensor([[[-60.0, -110.0, 0.0]]], requires_grad=True)
    divergence = kl_to_standard_normal(log_scale_normal(torch.zeros(1, 1, 3), log_variance))
    torch.testing.assert_close(divergence, torch.tensor([[(60 + 110 - 1 - 1) / 2]]))
    divergence.sum().backward()
    torch.testing.assert_close(log_variance.grad, torch.tensor([[[-0.5, -0.5, 0.0]]]))


def test_the_symmetric_divergence_matches_torch() -> None:
    logits = 2 * torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    log_p, log_q = logits.log_softmax(dim=-1)
    found = symmetric_divergence(log_p, log_q)
    for s in range(2):
        for b in range(5):
            p, q = Categorical(logits=log_p[s, b]), Categorical(logits=log_q[s, b])
            expected = kl_divergence(p, q) + kl_divergence(q, p)
            torch.testing.assert_close(found[s, b], expected)
