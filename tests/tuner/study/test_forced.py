"""Spaces are cut to what the data allow, before the first trial."""

from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from tuner.errors import UsageError
from tuner.ledger.proposals import _suggest
from tuner.methods import catalog
from tuner.models._kit.outputs import DataRangeConfig, validate_and_flatten
from tuner.study.branches import Branch
from tuner.study.plan import prepare
from tuner.study.study import Study

DRAWS = 200
RANGES = [n for n in catalog.names() if issubclass(catalog.method(n).config_type, DataRangeConfig)]


def points(folder: Path, *, inside: bool) -> str:
    """Write points that stay in [0, 1] when they are scaled, or leave it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4)).astype(np.uint8)
    np.savez(folder / "x.npz", x=images if inside else rng.normal(size=(60, 16)))
    return str(folder / "x.npz")


def branch_of(name: str, dataset: str, **options: object) -> tuple[Branch, np.ndarray]:
    plan = prepare(Study(methods=(name,), dataset=dataset, **options))  # type: ignore[arg-type]
    return plan.branches[name], plan.dataset.train


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("name", catalog.names())
def test_every_draw_of_a_space_is_accepted(name: str, inside: bool, tmp_path: Path) -> None:
    branch, train = branch_of(name, points(tmp_path, inside=inside))
    x = torch.tensor(train)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    for number in range(DRAWS):
        config = branch.config(_suggest(study.ask(), branch))
        if isinstance(config, DataRangeConfig):
            validate_and_flatten(x, config)
        if number % 50 == 0:
            catalog.method(name)(config, train.shape[1:], (0,))


def test_most_methods_with_decoders_are_concerned() -> None:
    assert len(RANGES) >= 10


@pytest.mark.parametrize("name", RANGES)
def test_a_setting_that_does_not_fit_the_data_is_refused(name: str, tmp_path: Path) -> None:
    dataset = points(tmp_path, inside=False)
    setting, bounded, unbounded = catalog.method(name).config_type.range_setting  # type: ignore[attr-defined]
    branch, _ = branch_of(name, dataset)
    assert setting not in branch.space.parameters
    assert branch.base[setting] == unbounded
    with pytest.raises(UsageError, match=rf"--set {setting}={bounded} does not fit .*outside"):
        branch_of(name, dataset, fixed={setting: bounded})
    space = {name: {"space": {setting: {"choice": [bounded]}}}}
    # a method that knows one value alone refuses the other in the space file already
    with pytest.raises(UsageError, match=rf"--space with {setting} does not fit|is not allowed"):
        branch_of(name, dataset, spaces=space)


def test_what_the_data_forbid_does_not_change_the_identity_of_a_search(tmp_path: Path) -> None:
    branch, _ = branch_of("vae_gmm", points(tmp_path, inside=False))
    assert "likelihood" in branch.declared.parameters
    plan = prepare(Study(methods=("vae_gmm",), dataset=points(tmp_path, inside=False)))
    assert plan.identity()["spaces"]["vae_gmm"]["space"] == branch.declared.digest()


def test_both_values_are_searched_inside_the_unit_interval(tmp_path: Path) -> None:
    branch, _ = branch_of("vae_gmm", points(tmp_path, inside=True))
    assert branch.space.parameters["likelihood"].choices == ("bernoulli", "gaussian")
