"""Random numbers that depend on the seed of their replica alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tuner.models._kit.draws import Draws

DRAWN: dict[str, Callable[[Draws], Tensor]] = {
    "normal": lambda draws: draws.normal(4, 2),
    "uniform": lambda draws: draws.uniform(4, 2),
    "permutation": lambda draws: draws.permutation(9),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_replica_draws_alike_alone_and_in_company(draw: Callable[[Draws], Tensor]) -> None:
    together, alone = Draws([0, 5, 9]), Draws([5])
    for _ in range(2):
        numbers = draw(together)
        assert torch.equal(numbers[1], draw(alone)[0])
        assert not torch.equal(numbers[0], numbers[1])


def test_draws_leave_the_global_generator_alone_and_go_on_from_a_state() -> None:
    before = torch.get_rng_state()
    draws = Draws([1, 2])
    draws.normal(3)
    state = draws.state()
    numbers = draws.uniform(5)
    other = Draws([8, 9])
    other.restore(state)
    assert torch.equal(other.uniform(5), numbers)
    assert torch.equal(torch.get_rng_state(), before)


def test_permutations_hold_every_point_once() -> None:
    order = Draws([0, 1]).permutation(20)
    assert torch.equal(order.sort(dim=1).values, torch.arange(20).expand(2, 20))
