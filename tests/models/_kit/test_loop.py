"""The pieces of a training loop: counted passes, whole batches, exact resumption."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import BatchNorm, Linear, initialise
from tuner.models._kit.loop import (
    Clock,
    adam,
    batch_indices,
    chunk_size,
    gradient_step,
    in_chunks,
)


def test_a_clock_counts_passes_over_all_stages_and_goes_on_where_it_stood() -> None:
    clock = Clock()
    assert list(clock.count("first", 2)) == [1, 2]
    for done in clock.count("second", 5):
        if done == 3:
            break
    assert clock.epoch == 5
    other = Clock()
    other.restore(clock.state())
    assert list(other.count("first", 2)) == []
    assert list(other.count("second", 5)) == [4, 5]
    assert other.epoch == 7


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (2, 100), (1, 1), (101, 50)])
def test_batches_hold_every_point_once_in_nearly_equal_shares(n: int, size: int) -> None:
    batches = list(batch_indices(n, size, Draws([0, 1])))
    lengths = [batch.shape[1] for batch in batches]
    assert len(batches) == -(-n // size)
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    together = torch.cat(batches, dim=1)
    assert torch.equal(together.sort(dim=1).values, torch.arange(n).expand(2, n))


def test_every_replica_has_its_own_order_and_each_pass_another() -> None:
    draws = Draws([0, 1])
    first, second = (torch.cat(list(batch_indices(50, 8, draws)), dim=1) for _ in range(2))
    assert first.shape == (2, 50)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])
    alone = torch.cat(list(batch_indices(50, 8, Draws([1]))), dim=1)
    assert torch.equal(first[1], alone[0])


def stack(seeds: list[int]) -> tuple[nn.Module, Draws]:
    draws = Draws(seeds)
    network = nn.Sequential(BatchNorm(len(seeds), 3), Linear(len(seeds), 3, 4))
    initialise(network, draws)
    return network, draws


def step(network: nn.Module, optimiser: torch.optim.Optimizer, draws: Draws) -> Tensor:
    x = draws.normal(8, 3)
    return gradient_step(optimiser, (network(x) - x[..., :1]).square().mean(dim=(1, 2)))


def test_descending_a_stack_moves_each_replica_as_if_alone() -> None:
    network, draws = stack([4, 5, 6])
    alone, own = stack([5])
    optimiser, other = adam(network.parameters(), 0.05), adam(alone.parameters(), 0.05)
    for _ in range(5):
        loss, single = step(network, optimiser, draws), step(alone, other, own)
    assert loss.shape == (3,)
    assert not loss.requires_grad
    torch.testing.assert_close(loss[1:2], single)
    for stacked, parameter in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(stacked[1:2], parameter)


def test_descend_lowers_the_loss() -> None:
    network, draws = stack([0, 1])
    optimiser = adam(network.parameters(), 0.05)
    losses = torch.stack([step(network, optimiser, draws) for _ in range(60)])
    assert (losses[-10:].mean(dim=0) < 0.7 * losses[:10].mean(dim=0)).all()


@pytest.mark.parametrize("size", [3, 10, 100])
def test_chunks_answer_as_the_whole(size: int) -> None:
    x = torch.arange(20.0).reshape(10, 2)
    shapes: list[int] = []

    def answer(chunk: Tensor) -> Tensor:
        shapes.append(len(chunk))
        return torch.stack([chunk, -chunk])

    assert torch.equal(in_chunks(answer, x, size=size), answer(x))
    assert max(shapes[:-1]) <= size


def test_no_result_outlives_its_chunk() -> None:
    results: list[weakref.ref[Tensor]] = []

    def answer(chunk: Tensor) -> Tensor:
        assert all(result() is None for result in results)
        result = 2 * chunk
        results.append(weakref.ref(result))
        return result

    x = torch.arange(20.0).reshape(10, 2)
    assert torch.equal(in_chunks(answer, x, size=3), 2 * x)
    assert len(results) == 4


def test_a_gpu_takes_as_many_points_as_its_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(gibibytes: int) -> None:
        properties = SimpleNamespace(total_memory=gibibytes * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)

    sizes = []
    for gibibytes in (4, 8, 24, 140):
        memory(gibibytes)
        sizes.append(chunk_size(torch.device("cuda"), 256))
    assert sizes == [256, 256, 768, 256 * 17]
    assert chunk_size(torch.device("cpu"), 256) == 256
