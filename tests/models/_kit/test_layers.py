"""Stacked layers against a loop over torch's own."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tuner.models._kit import layers
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import (
    MLP,
    BatchNorm,
    BernoulliHead,
    Conv,
    ConvTranspose,
    Dropout,
    GaussianHead,
    Head,
    Linear,
    initialise,
    joined,
    replica,
)

S = 3
Layer = Linear | Conv | ConvTranspose


def fill(layer: nn.Module) -> None:
    initialise(layer, Draws(range(S)))


def torch_linear(layer: Linear, s: int) -> nn.Module:
    own = nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
    own.weight.data, own.bias.data = layer.weight[s].T.detach(), layer.bias[s, 0].detach()
    return own


def torch_conv(layer: Conv, s: int) -> nn.Module:
    _, out, channels, kernel, _ = layer.weight.shape
    own = nn.Conv2d(channels, out, kernel, layer.stride, layer.padding)
    own.weight.data, own.bias = layer.weight[s].detach(), nn.Parameter(layer.bias[s].detach())
    return own


def torch_transposed(layer: ConvTranspose, s: int) -> nn.Module:
    _, channels, out, kernel, _ = layer.weight.shape
    own = nn.ConvTranspose2d(channels, out, kernel, layer.stride, layer.padding)
    own.weight.data, own.bias = layer.weight[s].detach(), nn.Parameter(layer.bias[s].detach())
    return own


CASES = [
    (Linear(S, 5, 4), torch_linear, (5,)),
    (Conv(S, 2, 3, 4, stride=2, padding=1), torch_conv, (2, 8, 8)),
    (ConvTranspose(S, 3, 2, 4, stride=2, padding=1), torch_transposed, (3, 4, 4)),
]


@pytest.mark.parametrize(("layer", "own", "shape"), CASES, ids=["linear", "conv", "transposed"])
def test_a_stack_is_a_loop_over_torch_s_own_layers(
    layer: Layer, own: Callable[[Layer, int], nn.Module], shape: tuple[int, ...]
) -> None:
    x = torch.randn(S, 6, *shape, generator=torch.Generator().manual_seed(0))
    fill(layer)
    expected = torch.stack([own(layer, s)(x[s]) for s in range(S)])
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("layer", "own", "shape"), CASES, ids=["linear", "conv", "transposed"])
def test_a_summed_loss_gives_each_network_its_own_gradient(
    layer: Layer, own: Callable[[Layer, int], nn.Module], shape: tuple[int, ...]
) -> None:
    fill(layer)
    x = torch.randn(S, 6, *shape, generator=torch.Generator().manual_seed(0))
    alone = own(layer, 1)
    alone(x[1]).square().mean().backward()
    layer.zero_grad()
    layer(x).square().flatten(1).mean(dim=1).sum().backward()
    assert layer.bias.grad is not None
    assert isinstance(alone.bias, Tensor)
    assert alone.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad[1].flatten(), alone.bias.grad)
    x[0] *= 7  # another network's data
    before = layer.bias.grad.clone()
    layer.zero_grad()
    layer(x).square().flatten(1).mean(dim=1).sum().backward()
    torch.testing.assert_close(layer.bias.grad[1:], before[1:])
    assert not torch.allclose(layer.bias.grad[0], before[0])


@pytest.mark.parametrize("shape", [(4,), (4, 5, 5)], ids=["features", "maps"])
def test_batch_norm_is_torch_s_own_in_training_and_evaluation(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    stacked, own = BatchNorm(S, 4), [nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)]
    if len(shape) == 3:
        own = [nn.BatchNorm2d(4) for _ in range(S)]  # type: ignore[misc]
    fill(stacked)
    for _ in range(3):
        x = 2 + 3 * torch.randn(S, 6, *shape, generator=generator)
        expected = torch.stack([norm(x[s]) for s, norm in enumerate(own)])
        torch.testing.assert_close(stacked(x), expected, rtol=1e-5, atol=1e-5)
    stacked.eval()
    expected = torch.stack([norm.eval()(x[s]) for s, norm in enumerate(own)])
    torch.testing.assert_close(stacked(x), expected, rtol=1e-5, atol=1e-5)


def test_one_point_is_normalised_by_the_running_moments() -> None:
    norm = BatchNorm(S, 4)
    fill(norm)
    x = torch.randn(S, 1, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(x), x / math.sqrt(1 + 1e-5))
    assert torch.equal(norm.mean, torch.zeros(S, 4))


def test_a_perceptron_is_its_layers_in_turn() -> None:
    network = MLP(S, [5, 4, 3], torch.tanh)
    fill(network)
    x = torch.randn(S, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = []
    for s in range(S):
        h = x[s]
        for layer in network.layers:
            assert isinstance(layer, Linear)
            h = torch.tanh(torch_linear(layer, s)(h))
        expected.append(h)
    torch.testing.assert_close(network(x), torch.stack(expected))


def test_dropout_keeps_the_mean_and_rests_in_evaluation() -> None:
    x = torch.ones(2 * S, 400, 10)
    dropout = Dropout(0.25, Draws(range(S)))
    y = dropout(x)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    torch.testing.assert_close(y.mean(dim=(1, 2)), torch.ones(2 * S), rtol=0, atol=0.05)
    assert not torch.equal(y[0], y[1])
    assert dropout.eval()(x) is x


def test_dropout_of_a_replica_ignores_its_company() -> None:
    x = torch.ones(2, 50, 10)
    alone = Dropout(0.5, Draws([7]))(x)
    together = Dropout(0.5, Draws([3, 7]))(torch.cat([x, x]))
    assert torch.equal(together[2:], alone)


def test_heads_are_distributions_over_the_last_axis() -> None:
    h = torch.randn(S, 6, 5, generator=torch.Generator().manual_seed(0))
    gaussian, bernoulli = GaussianHead(S, 5, 4, floor=0.5), BernoulliHead(S, 5, 4)
    fill(gaussian)
    fill(bernoulli)
    q, p = gaussian(h), bernoulli(h)
    assert q.batch_shape == p.batch_shape == (S, 6)
    assert q.event_shape == p.event_shape == (4,)
    torch.testing.assert_close(q.stddev, 0.5 + (0.5 * gaussian.log_variance(h)).exp())
    torch.testing.assert_close(p.mean, torch.sigmoid(bernoulli.logits(h)))


def test_joined_heads_are_the_heads_apart() -> None:
    first, second, h = Head(S, 5, 2), Head(S, 5, 3), torch.randn(S, 7, 5)
    fill(first)
    fill(second)
    one, two = joined(h, first, second)
    torch.testing.assert_close(one, first(h))
    torch.testing.assert_close(two, second(h))


def test_a_shared_input_is_not_copied_for_each_network(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = Linear(S, 300, 4), torch.randn(6, 300)
    fill(layer)
    seen: list[tuple[int, ...]] = []
    baddbmm = torch.baddbmm

    def noted(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        seen.append(x.stride())
        return baddbmm(bias, x, weight)

    monkeypatch.setattr(torch, "baddbmm", noted)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.expand(S, -1, -1))
    assert seen == [(0, 300, 1)]
    torch.testing.assert_close(y.float(), layer(x.expand(S, -1, -1)), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("replicas", [1, 3])
def test_images_keep_their_layout_with_channels_last(
    replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randn(replicas, 4, 2, 10, 10)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        monkeypatch.setattr(layers, "image_format", lambda device, layout=layout: layout)
        convolution, norm = Conv(replicas, 2, 6, 3), BatchNorm(replicas, 6)
        back = ConvTranspose(replicas, 6, 2, 3)
        initialise(nn.ModuleList([convolution, norm, back]), Draws(range(replicas)))
        h = torch.relu(norm(convolution(images)))
        merged = h.transpose(0, 1).flatten(1, 2)
        assert merged.is_contiguous(memory_format=layout)
        assert merged.data_ptr() == h.data_ptr(), "the next layer would copy it"
        y = back(h)
        y.square().sum().backward()
        results.append((y.detach(), [p.grad for p in convolution.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-3)


def test_initialise_fills_within_torch_s_bounds_each_replica_by_its_seed() -> None:
    network = nn.Sequential(Linear(2 * S, 400, 30), Conv(2 * S, 4, 8, 5), BatchNorm(2 * S, 8))
    initialise(network, Draws([3, 4, 5]))
    linear, conv, norm = network
    assert isinstance(linear, Linear)
    assert isinstance(conv, Conv)
    assert isinstance(norm, BatchNorm)
    for parameter, fan_in in [(linear.weight, 400), (linear.bias, 400), (conv.weight, 100)]:
        bound = 1 / math.sqrt(fan_in)
        assert 0.9 * bound < parameter.abs().max() <= bound
    torch.testing.assert_close(
        linear.weight.std(), torch.tensor(0.05 / math.sqrt(3)), rtol=0.02, atol=0
    )
    assert torch.equal(norm.scale, torch.ones(2 * S, 8))
    assert torch.equal(norm.shift, torch.zeros(2 * S, 8))
    alone = Linear(2, 400, 30)
    initialise(alone, Draws([4]))
    assert torch.equal(alone.weight, linear.weight[2:4])


def test_replica_takes_and_copies_its_share() -> None:
    stacked = {"a": torch.arange(12.0).reshape(6, 2)}
    share = replica(stacked, 1, 3)
    assert torch.equal(share["a"], stacked["a"][2:4])
    share["a"].zero_()
    assert stacked["a"][2, 0] == 4
