"""What adversarial games share."""

import pytest
import torch

from tuner.models._kit.adversarial import NoisyMLP, add_noise, frozen
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import Linear, initialise


def test_gradients_pass_through_a_frozen_network_and_not_to_it() -> None:
    layer = Linear(1, 3, 2)
    initialise(layer, Draws([0]))
    x = torch.ones(1, 4, 3, requires_grad=True)
    with frozen(layer):
        loss = layer(x).sum()
    loss.backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is None
    torch.testing.assert_close(x.grad, layer.weight.detach().sum(dim=2).expand(1, 4, 3))


def test_a_frozen_network_thaws_even_after_an_error() -> None:
    layer = Linear(1, 3, 2)
    with pytest.raises(ZeroDivisionError), frozen(layer):
        raise ZeroDivisionError
    assert layer.weight.requires_grad


def test_noise_has_its_scale_and_comes_from_the_draws_alone() -> None:
    x = torch.zeros(2, 100, 200)
    y = add_noise(x, 0.3, Draws([0, 1]))
    assert y.mean().abs() < 0.01
    assert (y.std(dim=(1, 2)) - 0.3).abs().max() < 0.01
    assert torch.equal(y[1:], add_noise(x[1:], 0.3, Draws([1])))
    assert torch.equal(add_noise(x, 0.3, None), x)
    assert torch.equal(add_noise(x, 0.0, Draws([0, 1])), x)


def test_each_layer_has_the_noise_of_its_own_place() -> None:
    def spread(noise: float, hidden_noise: float) -> torch.Tensor:
        network = NoisyMLP(1, [3, 4, 5], noise=noise, hidden_noise=hidden_noise, norm=False)
        initialise(network, Draws([0]))
        seen = [layer.layers[0] for layer in network.layers]
        inputs: list[torch.Tensor] = []
        for layer in seen:
            layer.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
        network(torch.zeros(1, 2000, 3), Draws([0]))
        return torch.stack([given.std(dim=1).mean() for given in inputs])

    first, second = spread(0.5, 0.0)
    assert abs(first - 0.5) < 0.03
    assert second > 0
    first, second = spread(0.0, 0.7)
    assert first == 0
    assert abs(second - 0.7) < 0.03
