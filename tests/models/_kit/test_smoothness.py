"""Virtual adversarial training."""

import torch
from torch.distributions import Categorical, kl_divergence
from torch.testing import assert_close

from tuner.models._kit.draws import Draws
from tuner.models._kit.smoothness import neighbour_distance, virtual_adversarial_divergence


def divergence(weight: torch.Tensor, radius: float, seeds: list[int]) -> torch.Tensor:
    """Return the divergence of a linear classifier (F, K) at points near its boundary."""
    x = 0.1 * torch.randn(len(seeds), 40, 6, generator=torch.Generator().manual_seed(0))

    def assign(points: torch.Tensor) -> torch.Tensor:
        return (points @ weight).log_softmax(dim=-1)

    size = torch.tensor(radius)
    return virtual_adversarial_divergence(assign, x, assign(x), size, Draws(seeds))


def test_the_change_has_the_direction_that_matters() -> None:
    weight = torch.zeros(6, 2)
    weight[2] = torch.tensor([3.0, -3.0])  # only the third feature matters
    x = 0.1 * torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(0))
    at = Categorical(logits=x @ weight)
    step = torch.zeros(6)
    step[2] = 0.5
    sides = [kl_divergence(at, Categorical(logits=(x + s * step) @ weight)) for s in (1, -1)]
    found = divergence(weight, 0.5, [0])
    least, most = torch.minimum(*sides).mean(), torch.maximum(*sides).mean()
    assert least - 1e-6 <= found[0] <= most + 1e-6  # the sign depends on where it starts
    drawn = torch.nn.functional.normalize(
        torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    random = kl_divergence(at, Categorical(logits=(x + 0.5 * drawn) @ weight)).mean()
    assert random < 0.7 * least


def test_no_gradient_flows_through_the_assignments_at_the_points() -> None:
    x = torch.rand(1, 5, 3)
    log_p = torch.rand(1, 5, 2, requires_grad=True)
    scale = torch.ones(1, requires_grad=True)

    def assign(points: torch.Tensor) -> torch.Tensor:
        return (scale * points[..., :2]).log_softmax(dim=-1)

    radius, draws = torch.tensor(0.1), Draws([0])
    found = virtual_adversarial_divergence(assign, x, log_p.log_softmax(dim=-1), radius, draws)
    found.sum().backward()
    assert log_p.grad is None
    assert scale.grad is not None


def test_replicas_do_not_influence_each_other_and_flat_assignments_are_smooth() -> None:
    weight = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    together = divergence(weight, 0.2, [3, 4])
    assert_close(divergence(weight, 0.2, [3])[0], together[0])
    assert divergence(torch.zeros(6, 3), 0.2, [3, 4]).abs().max() == 0


def test_the_distance_to_the_tenth_neighbour() -> None:
    line = torch.arange(1000.0).unsqueeze(1)
    # away from the ends, five neighbours lie on each side
    assert_close(neighbour_distance(line), torch.tensor(5.0), atol=0.2, rtol=0)
    assert neighbour_distance(torch.tensor([[0.0], [2.0]])) == 2
    many = torch.rand(30_000, 2, generator=torch.Generator().manual_seed(0))
    assert neighbour_distance(many) == neighbour_distance(many[::3])  # of at most 10,000
