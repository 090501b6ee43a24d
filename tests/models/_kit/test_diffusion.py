import itertools

import pytest
import torch
from torch import Tensor

from tuner.methods import catalog
from tuner.methods.config import Scalar
from tuner.models._kit import diffusion, neighbours
from tuner.models._kit.diffusion import Diffusion
from tuner.models._kit.draws import Draws
from tuner.models._kit.starts import random_responsibilities
from tuner.study.space import method_space


def over(x: Tensor, steps: int, decay: float = 0.8) -> Diffusion:
    return Diffusion(x, steps, decay)


def two_groups(points: int = 60) -> tuple[Tensor, Tensor]:
    groups = torch.arange(points) % 2
    x = torch.randn(points, 3, generator=torch.Generator().manual_seed(0))
    return x + 100.0 * groups.unsqueeze(1), groups


def transitions(x: Tensor, k: int = 10) -> Tensor:
    """Return the matrix of one step, (N, N), by its definition."""
    matrix = torch.eye(len(x), dtype=torch.float64)
    for i, point in enumerate(x):
        distances = (x - point).square().sum(1)
        distances[i] = torch.inf
        matrix[i, distances.argsort()[:k]] = 1.0
    return matrix / matrix.sum(1, keepdim=True)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_is_the_mean_of_a_point_and_its_ten_nearest(steps: int) -> None:
    x, _ = two_groups()
    values = torch.randn(2, len(x), 4)
    matrix = torch.linalg.matrix_power(transitions(x), steps)
    torch.testing.assert_close(
        over(x, steps).average(values, 0), (matrix @ values.double()).float()
    )


def test_without_steps_nothing_is_averaged() -> None:
    x, _ = two_groups()
    values = torch.rand(2, len(x), 2)
    assert over(x, 0).average(values, 0) is values
    assert over(x, 0).start(values) is values
    assert not hasattr(over(x, 0), "nearest"), "no neighbours are looked for"


@pytest.mark.parametrize(("iteration", "steps"), [(0, 16), (1, 13), (4, 7), (30, 1)])
def test_steps_decay_to_one(iteration: int, steps: int) -> None:
    x, _ = two_groups()
    values = torch.rand(1, len(x), 2)
    expected = over(x, steps, decay=1.0).average(values, iteration)
    assert torch.equal(over(x, 16).average(values, iteration), expected)


def test_nothing_crosses_a_gap() -> None:
    x, groups = two_groups()
    values = torch.stack([groups.float(), 1.0 - groups.float()], dim=1).unsqueeze(0)
    torch.testing.assert_close(over(x, 50, decay=1.0).average(values, 0), values)


def test_many_points_step_over_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "_REFERENCES", 40)
    monkeypatch.setattr(neighbours, "_CHUNK", 7)
    x, groups = two_groups(101)
    walk = over(x, 2)
    assert walk.references.tolist() == list(range(0, 101, 3))
    values = torch.randn(1, 101, 3)
    nearest = walk.references[walk.nearest]
    assert not (nearest == torch.arange(101).unsqueeze(1)).any()
    assert (groups[nearest] == groups.unsqueeze(1)).all()
    expected = values[0].double()
    for _ in range(2):
        expected = (expected + expected[nearest].sum(1)) / 11
    torch.testing.assert_close(walk.average(values, 0)[0], expected.float())


def test_neighbours_share_a_random_start() -> None:
    x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    walk = over(x, 16)
    start = walk.start(random_responsibilities(2000, 5, Draws([0, 1])))
    torch.testing.assert_close(start.sum(-1), torch.ones(2, 2000))
    labels = start.argmax(-1)
    same = (labels[:, walk.nearest] == labels.unsqueeze(-1)).float().mean((1, 2))
    assert (same > 0.9).all()
    assert (start.mean(1) > 0.02).all(), "every cluster has points"


def test_a_replica_is_unaffected_by_the_others() -> None:
    x, _ = two_groups()
    walk, values = over(x, 16), torch.rand(3, len(x), 4)
    together = walk.start(walk.average(values, 0).softmax(-1))
    for replica in range(3):
        alone = walk.start(walk.average(values[[replica]], 0).softmax(-1))
        assert torch.equal(together[[replica]], alone)


@pytest.mark.parametrize("points", [1, 2, 3, 12])
def test_few_or_equal_points(points: int) -> None:
    for x in (torch.zeros(points, 2), torch.randn(points, 2)):
        walk = over(x, 16)
        u = random_responsibilities(points, 2, Draws([0]))
        assert torch.isfinite(walk.average(u, 0)).all()
        assert torch.isfinite(walk.start(u)).all()


def responsibilities(name: str, x: Tensor, epochs: int, **settings: Scalar) -> Tensor:
    """Return u (N, K) of a method after some of the two epochs of its first M-step."""
    kind, preset = catalog.method(name), method_space(name).presets["tiny"]
    schedule: dict[str, Scalar] = {"n_components": 4, "iterations": 1, "m_step_epochs": 2}
    config = kind.config_type.from_mapping({**preset, **schedule, **settings})
    method = kind(config, (x.shape[1],), (0,))
    for _ in itertools.islice(method.fit(x), epochs):
        pass
    u = method.state()["shares/u"]
    assert isinstance(u, Tensor)
    return u[0]


def cloud(points: int) -> Tensor:
    return torch.randn(points, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("start", ["random", "kmeans"])
@pytest.mark.parametrize("name", ["em_flow", "em_vae"])
def test_an_e_step_is_that_of_neighbourhoods(name: str, start: str) -> None:
    x = cloud(60)
    own = responsibilities(name, x, 2, start=start, diffusion_steps=0)
    shared = responsibilities(name, x, 2, start=start, diffusion_steps=1000)
    assert own.std(0).max() > 1e-2
    assert shared.std(0).max() < 1e-3, "after so many steps all points are alike"


@pytest.mark.parametrize("name", ["em_flow", "em_vae"])
def test_a_random_start_is_that_of_regions(name: str) -> None:
    x = cloud(1000)
    walk = over((x - x.mean(0)) / x.std(0), 16)
    agreement = {}
    for steps in (0, 16):
        labels = responsibilities(name, x, 1, start="random", diffusion_steps=steps).argmax(-1)
        agreement[steps] = (labels[walk.nearest] == labels.unsqueeze(1)).float().mean()
    assert agreement[0] < 0.4 < 0.8 < agreement[16]
