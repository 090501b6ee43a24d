"""The parts of a method that training resumes from, of all replicas or of some."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tuner.models._kit.autoencoder import Autoencoder
from tuner.models._kit.draws import Draws
from tuner.models._kit.layers import Linear, initialise
from tuner.models._kit.loop import Clock, adam, batch_indices, gradient_step, set_learning_rate
from tuner.models._kit.parts import pack, pack_selected, parts_of, rows, unpack
from tuner.models._kit.pretraining import NetworkPretraining
from tuner.models.dec import DECConfig, Target
from tuner.models.em_vae.steps import Responsibilities

CODER = DECConfig(n_components=2, hidden_sizes="3", latent_size=2, pretraining_epochs=2)


def stack(seeds: list[int]) -> tuple[nn.Module, Draws]:
    draws = Draws(seeds)
    network = Linear(2 * len(seeds), 3, 2)  # two networks for each replica
    initialise(network, draws)
    return network, draws


def step(network: nn.Module, optimiser: torch.optim.Optimizer, draws: Draws) -> Tensor:
    x = draws.normal(2, 5, 3).flatten(0, 1)
    loss = network(x).square().mean(dim=(1, 2))
    return gradient_step(optimiser, loss.view(-1, 2).sum(dim=1))


def test_a_packed_state_goes_on_exactly_and_stands_still() -> None:
    network, draws = stack([0, 1])
    optimiser, clock, weights = adam(network.parameters(), 0.05), Clock(), torch.ones(2)
    parts = {"network": network, "optimiser": optimiser, "draws": draws, "clock": clock}
    for _ in clock.count("train", 2):
        step(network, optimiser, draws)
    set_learning_rate(optimiser, 0.01)
    weights *= 3
    state = pack(**parts, weights=weights)
    before = {key: v.clone() for key, v in state.items() if isinstance(v, Tensor)}
    expected = [step(network, optimiser, draws) for _ in range(3)]
    for key, value in before.items():
        assert torch.equal(state[key], value), key  # type: ignore[arg-type]

    again, fresh = stack([7, 8])
    rate, other, tensor = adam(again.parameters(), 1.0), Clock(), torch.zeros(2)
    unpack(state, network=again, optimiser=rate, draws=fresh, clock=other, weights=tensor)
    assert float(rate.param_groups[0]["lr"]) == pytest.approx(0.01)
    assert torch.equal(tensor, torch.full((2,), 3.0))
    assert other.epoch == 2
    for value in expected:
        assert torch.equal(step(again, rate, fresh), value)


def test_a_state_is_flat_tensors_and_scalars() -> None:
    network, draws = stack([0, 1])
    optimiser = adam(network.parameters(), 0.05)
    step(network, optimiser, draws)
    state = pack(network=network, optimiser=optimiser, draws=draws, clock=Clock())
    assert all(isinstance(value, (Tensor, bool, int, float, str)) for value in state.values())
    assert all("/" in name for name in state)


def test_a_state_taken_before_the_first_step_can_be_restored() -> None:
    network, draws = stack([0, 1])
    optimiser = adam(network.parameters(), 0.05)
    state = pack(network=network, optimiser=optimiser)
    step(network, optimiser, draws)
    unpack(state, network=network, optimiser=optimiser)
    assert not optimiser.state_dict()["state"]


def test_selected_parts_go_on_as_among_the_others() -> None:
    network, draws = stack([0, 1, 2])
    optimiser, clock = adam(network.parameters(), 0.05), Clock()
    for _ in clock.count("train", 2):
        step(network, optimiser, draws)
    weights, shared = torch.arange(6.0), torch.tensor(7.0)
    parts = {"network": network, "optimiser": optimiser, "draws": draws, "clock": clock}
    state = pack_selected([2, 0], 3, **parts, weights=weights, shared=shared)
    expected = [step(network, optimiser, draws)[[2, 0]] for _ in range(3)]

    again, fresh = stack([7, 8])
    rate, other, tensor, number = (
        adam(again.parameters(), 1.0),
        Clock(),
        torch.zeros(4),
        shared * 0,
    )
    own = {"network": again, "optimiser": rate, "draws": fresh, "clock": other}
    unpack(state, **own, weights=tensor, shared=number)
    assert torch.equal(tensor, torch.tensor([4.0, 5.0, 0.0, 1.0]))
    assert (float(number), other.epoch) == (7.0, 2)
    for value in expected:
        torch.testing.assert_close(step(again, rate, fresh), value)


def test_momentum_is_selected_with_its_networks() -> None:
    network, _ = stack([0, 1, 2])
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    gradient_step(optimiser, network(torch.ones(6, 4, 3)).mean(dim=(1, 2)))
    state = pack_selected([1], 3, optimiser=optimiser)
    whole = pack(optimiser=optimiser)
    for index in ("0", "1"):
        selected, all_of_them = (s[f"optimiser/{index}/momentum_buffer"] for s in (state, whole))
        assert isinstance(selected, Tensor)
        assert isinstance(all_of_them, Tensor)
        assert torch.equal(selected, all_of_them[2:4])


def test_rows_are_a_copy_of_replicas_of_several_networks() -> None:
    tensor = torch.arange(12).reshape(6, 2)
    part = rows(tensor, [2, 1], 3)
    assert torch.equal(part, tensor[[4, 5, 2, 3]])
    part.zero_()
    assert tensor.sum() == 66
    with pytest.raises(IndexError):
        rows(tensor, [3], 3)


def test_a_target_is_selected_with_its_log_q() -> None:
    target = Target(3, "cpu")
    assert set(target.selected([1])) == {"changed", "following"}
    log_q = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    target.update(log_q.clone(), 0.5)
    log_q[1:] = log_q[1:].roll(1, dims=2)
    target.update(log_q, 0.5)  # the first replica has converged
    assert target.following.tolist() == [False, True, True]
    other = Target(2, "cpu")
    other.restore(target.selected([2, 0]))
    index = torch.arange(4).expand(3, -1)
    assert torch.equal(other.of(index[:2]).logits, target.of(index).logits[[2, 0]])
    assert torch.equal(other.changed, target.changed[[2, 0]])
    assert torch.equal(other.following, target.following[[2, 0]])


def test_responsibilities_are_selected_by_replica_not_by_point() -> None:
    shares = Responsibilities(torch.device("cpu"))
    assert shares.selected([0]) == {}
    shares.u = torch.arange(24.0).reshape(2, 6, 2)
    other = Responsibilities(torch.device("cpu"))
    other.restore(shares.selected([1]))
    assert other.u is not None
    assert torch.equal(other.u, shares.u[1:])


def test_pretraining_is_selected_until_it_is_complete() -> None:
    network, clock = Autoencoder(3, 4, CODER), Clock()
    pretraining = NetworkPretraining(
        network, network.squared_error, CODER, clock=clock, seeds=[5, 6, 7], device="cpu"
    )
    selected = [pretraining.selected([2]) for _ in pretraining.fit(torch.ones(6, 4).cumsum(1) / 4)]
    assert selected[1] == {}
    generator, moment = selected[0]["draws/0"], selected[0]["optimiser/0/exp_avg"]
    assert isinstance(generator, Tensor)
    assert isinstance(moment, Tensor)
    assert len(moment) == 1
    assert "draws/1" not in selected[0]
    fresh = Draws([0])
    fresh.restore({"0": generator})
    after = Draws([5, 6, 7], stream="pretraining")
    initialise(Autoencoder(3, 4, CODER), after)
    batch_indices(6, CODER.pretraining_batch_size, after)
    assert torch.equal(fresh.uniform(2), after.uniform(2)[2:])


def test_only_what_training_resumes_from_is_a_part() -> None:
    holder = SimpleNamespace(draws=Draws([0]), number=3, tensor=torch.ones(1), name="x")
    assert set(parts_of(holder)) == {"draws", "tensor"}
