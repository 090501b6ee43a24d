"""Penalties on assignments."""

import math
from dataclasses import dataclass

import pytest
import torch
from scipy.stats import entropy
from torch import Tensor
from torch.testing import assert_close

from tuner.models._kit.assignments import (
    AssignmentConfig,
    AssignmentPenalties,
    imbalance,
    uncertainty,
)
from tuner.models._kit.draws import Draws


@dataclass(frozen=True, kw_only=True)
class Penalised(AssignmentConfig):
    """Penalties and nothing else."""

    @property
    def passes(self) -> int:
        return 1

    def capped(self, epochs: int) -> "Penalised":
        return self


def assignments(*shape: int, seed: int = 0) -> Tensor:
    logits = 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(dim=-1)


def linear(points: Tensor) -> Tensor:
    weight = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    return (points @ weight).log_softmax(dim=-1)


def penalised(**weights: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the penalties of a linear classifier on images of 4 x 4."""
    penalties = AssignmentPenalties(Penalised(n_components=3, **weights), (4, 4))
    x, draws = torch.rand(2, 9, 16, generator=torch.Generator().manual_seed(2)), Draws([0, 1])
    both = penalties.with_copies(x, draws)
    return penalties(linear, x, linear(both), torch.tensor(0.3), draws)


def test_the_total_is_the_weighted_sum_of_the_penalties() -> None:
    weights = {"augmentation": 2.0, "vat": 3.0, "balance": 5.0, "certainty": 7.0}
    total, each = penalised(**{f"{name}_weight": weight for name, weight in weights.items()})
    assert list(each) == ["inconsistency", "roughness", "imbalance", "uncertainty"]
    assert all((penalty > 0).all() for penalty in each.values())
    parts = [w * penalty for w, penalty in zip(weights.values(), each.values(), strict=True)]
    assert_close(total, torch.stack(parts).sum(dim=0))


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("augmentation_weight", "inconsistency"),
        ("vat_weight", "roughness"),
        ("balance_weight", "imbalance"),
        ("certainty_weight", "uncertainty"),
    ],
)
def test_each_penalty_has_a_weight_of_its_own(setting: str, name: str) -> None:
    total, each = penalised(**{setting: 2.0})
    assert list(each) == [name]
    assert_close(total, 2 * each[name])


def test_without_weights_nothing_is_drawn_or_added() -> None:
    total, each = penalised()
    assert not each
    assert total.abs().max() == 0
    penalties = AssignmentPenalties(Penalised(n_components=3, augmentation_weight=1.0), (16,))
    assert not penalties.any  # what is no image has no copy without jitter
    x = torch.rand(1, 5, 16)
    assert penalties.with_copies(x, Draws([0])) is x


def test_imbalance_is_zero_for_equal_clusters_and_log_k_for_a_single_one() -> None:
    even = torch.eye(4).repeat(3, 1).mul(60).log_softmax(dim=1)
    one = torch.eye(4)[[2] * 12].mul(60).log_softmax(dim=1)
    drawn = assignments(12, 4)
    found = imbalance(torch.stack([even, one, drawn]))
    expected = math.log(4) - entropy(drawn.exp().mean(dim=0).numpy())
    torch.testing.assert_close(found, torch.tensor([0.0, math.log(4), expected]))


def test_uncertainty_is_the_mean_entropy() -> None:
    log_q = assignments(2, 12, 4)
    expected = entropy(log_q.exp().numpy(), axis=2).mean(axis=1)
    assert_close(uncertainty(log_q), torch.tensor(expected))
