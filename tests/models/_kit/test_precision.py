"""Products in bfloat16: in wide layers alone, densities in float32, the same training."""

import pytest
import torch

from tuner.methods import catalog
from tuner.models._kit import precision as _precision
from tuner.models._kit.distributions import diagonal_normal
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import Head, Linear, initialise
from tuner.models._kit.loop import gradient_step
from tuner.models._kit.mixtures import GaussianMixture
from tuner.models._kit.precision import mixed_precision
from tuner.study.space import method_space

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _any_machine(monkeypatch):
    """Let every processor multiply bfloat16: those that cannot emulate it."""
    monkeypatch.setattr(_precision, "_multiplies_bfloat16", lambda kind: True)


def layer(kind, fan_in, fan_out):
    made = kind(1, fan_in, fan_out)
    initialise(made, Draws([0]))
    return made


def test_wide_products_are_bfloat16_and_narrow_ones_float32():
    x = torch.rand(1, 5, 300)
    with mixed_precision(CPU, 300):
        assert layer(Linear, 300, 4)(x).dtype == torch.bfloat16
    with mixed_precision(CPU, 64):
        assert layer(Linear, 300, 4)(x).dtype == torch.float32


def test_no_device_is_asked_for_what_it_cannot_do(monkeypatch):
    monkeypatch.setattr(_precision, "_multiplies_bfloat16", lambda kind: False)
    with mixed_precision(CPU, 300):
        assert layer(Linear, 300, 4)(torch.rand(1, 5, 300)).dtype == torch.float32


def test_heads_answer_in_float32():
    with mixed_precision(CPU, 300):
        assert layer(Head, 300, 4)(torch.rand(1, 5, 300)).dtype == torch.float32


def test_a_context_after_every_step_sees_the_weights_as_they_are():
    linear = layer(Head, 300, 1)
    optimiser = torch.optim.SGD(linear.parameters(), lr=1e-3)
    x = torch.rand(1, 50, 300)
    losses = []
    for _ in range(20):
        with mixed_precision(CPU, 300):
            loss = (linear(x) - 3.0).square().mean().unsqueeze(0)
        losses.append(float(gradient_step(optimiser, loss)))
    assert losses[-1] < 0.1 * losses[0]


def test_densities_are_the_same_within_and_without():
    mixture = GaussianMixture(1, 3, 8)
    mixture.means.normal_(generator=torch.Generator().manual_seed(0))
    z = torch.rand(1, 20, 8)
    q = diagonal_normal(z, 0.5 + z)
    outside = mixture.log_joint(z), mixture.cross_entropy(q, mixture.whitening())
    with mixed_precision(CPU, 300):
        assert torch.equal(mixture.log_joint(z), outside[0])
        assert torch.equal(mixture.cross_entropy(q, mixture.whitening()), outside[1])


@pytest.mark.parametrize("name", ["gmvae", "em_vae", "vae_gmm", "mutual_vae_gmm"])
def test_training_is_the_same_but_for_rounding(name, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(120, 300, generator=generator)
    method = catalog.method(name)
    tiny = dict(method_space(name).presets["tiny"])
    tiny = {k: v for k, v in tiny.items() if k not in ("likelihood", "output")}
    config = method.config_type.from_mapping(tiny).capped(3)

    def losses():
        trained = method(config, x.shape[1:], [0])
        return torch.tensor([float(r.metrics["loss"][0]) for r in trained.fit(x)])

    halved = losses()
    monkeypatch.setattr(_precision, "_multiplies_bfloat16", lambda kind: False)
    full = losses()
    assert not torch.equal(halved, full)
    torch.testing.assert_close(halved, full, rtol=0.01, atol=0)
