"""A classifier and a generator."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn
from torch.distributions import Categorical

from tuner.errors import DataError
from tuner.models._kit.draws import Draws
from tuner.models.catgan import (
    CatGAN,
    CatGANConfig,
    conditional_entropy,
    discriminator_loss,
    generator_loss,
    marginal_entropy,
)

CONFIG = CatGANConfig(
    n_components=3, hidden_size=16, noise_size=4, output="identity", batch_size=50, epochs=2
)
NO_RADIUS = torch.tensor(0.0)  # no penalty has a weight
CERTAIN = 1e4  # a logit next to which exp(0) vanishes


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def categorical(logits: Tensor) -> Categorical:
    return Categorical(logits=logits)


def one_hot(index: Tensor, clusters: int) -> Categorical:
    return categorical(CERTAIN * nn.functional.one_hot(index, clusters).float())


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [p.grad for p in network.parameters()]


def values(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def test_entropies_and_losses_are_those_of_the_probabilities() -> None:
    real, fake = 2 * normal(2, 7, 5), normal(2, 9, 5).flip(0)
    p, q = (softmax(logits.double().numpy(), axis=-1) for logits in (real, fake))
    marginal, conditional = entropy(p.mean(axis=1), axis=-1), entropy(p, axis=-1).mean(axis=1)
    fake_marginal, fake_conditional = (
        entropy(q.mean(axis=1), axis=-1),
        entropy(q, axis=-1).mean(axis=1),
    )
    a, b = categorical(real), categorical(fake)
    for value, expected in (
        (marginal_entropy(a), marginal),
        (conditional_entropy(a), conditional),
        (discriminator_loss(a, b), -(marginal - conditional + fake_conditional)),
        (generator_loss(b), fake_conditional - fake_marginal),
    ):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5)


def test_the_classifiers_optimum_is_certain_and_balanced_on_real_points_only() -> None:
    K = 4
    balanced, lone = one_hot(torch.arange(12)[None] % K, K), one_hot(torch.zeros(1, 12).long(), K)
    uniform = categorical(torch.zeros(1, 12, K))
    log_K = math.log(K)
    for points, generated, expected in (
        (balanced, uniform, -2 * log_K),
        (balanced, balanced, -log_K),
        (lone, uniform, -log_K),
        (uniform, uniform, -log_K),
        (lone, lone, 0.0),
    ):
        assert discriminator_loss(points, generated).item() == pytest.approx(expected, abs=1e-5)


def test_the_generators_optimum_is_certain_and_balanced() -> None:
    K = 4
    balanced, lone = one_hot(torch.arange(12)[None] % K, K), one_hot(torch.zeros(1, 12).long(), K)
    assert generator_loss(balanced).item() == pytest.approx(-math.log(K), abs=1e-5)
    assert generator_loss(lone).item() == pytest.approx(0, abs=1e-5)
    assert generator_loss(categorical(torch.zeros(1, 12, K))).item() == pytest.approx(0, abs=1e-5)


def test_extreme_logits_have_finite_losses_and_gradients() -> None:
    logits = (1e5 * normal(1, 6, 3)).requires_grad_()
    loss = discriminator_loss(categorical(logits), categorical(-logits)) + generator_loss(
        categorical(logits)
    )
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_each_player_gets_gradients_from_its_own_loss_alone() -> None:
    method, batch = CatGAN(CONFIG, (4,), [0, 1]), normal(2, 50, 4)
    generator, classifier = values(method.generator), values(method.network)
    method.discriminator_step(batch, NO_RADIUS)
    assert all(gradient is None for gradient in gradients(method.generator))
    assert all(map(torch.equal, values(method.generator), generator))
    assert all(g is not None and (g != 0).any() for g in gradients(method.network))
    assert not any(map(torch.equal, values(method.network), classifier))

    classifier = values(method.network)
    before = [g.clone() for g in gradients(method.network) if g is not None]
    method.generator_step(batch)
    after = [g for g in gradients(method.network) if g is not None]
    assert all(map(torch.equal, values(method.network), classifier))
    assert all(map(torch.equal, after, before))
    assert all(g is not None and (g != 0).any() for g in gradients(method.generator))
    assert not any(map(torch.equal, values(method.generator), generator))
    assert all(p.requires_grad for p in method.network.parameters())


def test_each_player_improves_against_a_fixed_opponent() -> None:
    config = CatGANConfig(**{**CONFIG.to_mapping(), "learning_rate": 1e-2})
    batch = normal(2, 50, 4)
    method = CatGAN(config, (4,), [0, 1])
    first = method.discriminator_step(batch, NO_RADIUS)["loss"]
    for _ in range(60):
        last = method.discriminator_step(batch, NO_RADIUS)["loss"]
    assert (last < first - 0.5).all()
    first = method.generator_step(batch)["generator_loss"]
    for _ in range(60):
        last = method.generator_step(batch)["generator_loss"]
    assert (last < first - 0.3).all()


def test_the_classifier_is_noisy_in_training_and_deterministic_in_prediction() -> None:
    method, x = CatGAN(CONFIG, (4,), [0]), normal(1, 20, 4)
    network = method.network.eval()
    one, two = (network.classify(x, draws).logits for draws in (Draws([1]), Draws([2])))
    assert not torch.equal(one, two)
    assert torch.equal(network.classify(x).logits, network.classify(x).logits)
    assert torch.equal(network.classify(x).logits[0], method.predict_log_proba(x[0])[0])


def test_real_and_generated_points_are_normalised_as_one_batch() -> None:
    config = CatGANConfig(**{**CONFIG.to_mapping(), "noise": 0.0, "hidden_noise": 0.0})
    network = CatGAN(config, (4,), [0]).network
    x, generated = normal(1, 30, 4), 5 + normal(1, 20, 4)
    real, fake = network.classify_both(x, generated, Draws([0]))
    whole = network.classify(torch.cat([x, generated], dim=1)).logits
    torch.testing.assert_close(torch.cat([real.logits, fake.logits], dim=1), whole)
    assert not torch.allclose(real.logits, network.classify(x).logits, atol=1e-2)


def test_generated_points_respect_the_output_range() -> None:
    for output, bounded in (("sigmoid", True), ("identity", False)):
        config = CatGANConfig(**{**CONFIG.to_mapping(), "output": output})
        generator = CatGAN(config, (2, 2), [0, 1]).generator
        nn.init.constant_(generator.output.bias, 3.0)
        generated = generator.generate(40, Draws([0, 1]))
        assert generated.shape == (2, 40, 4)
        assert (generated.max() < 1) == bounded


def test_reports_contain_both_losses_and_their_terms() -> None:
    method = CatGAN(CONFIG, (4,), [0, 1])
    for report in method.fit(normal(100, 4)):
        m = report.metrics
        terms = m["marginal_entropy"] - m["conditional_entropy"] + m["forged_entropy"]
        torch.testing.assert_close(m["loss"], -terms)
        assert (m["generator_loss"] < 0).all()
        assert (m["marginal_entropy"] <= math.log(3) + 1e-5).all()


def test_data_outside_the_generators_range_are_rejected() -> None:
    method = CatGAN(CatGANConfig(n_components=3, hidden_size=8), (4,), [0])
    with pytest.raises(DataError, match="output=identity"):
        next(method.fit(2 * normal(20, 4)))
