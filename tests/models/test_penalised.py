"""Methods with penalties on their assignments."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tuner.methods import catalog
from tuner.methods.contract import Method, Report
from tuner.models._kit.assignments import AssignmentPenalties
from tuner.study.space import method_space

NAMES = ("inconsistency", "roughness", "imbalance", "uncertainty")
WEIGHTS = {"augmentation_weight": 2.0, "vat_weight": 2.0, "balance_weight": 2.0}
SMALL: dict[str, dict[str, Any]] = {
    "aae": {"hidden_size": 16, "epochs": 2},
    "catgan": {"hidden_size": 16, "epochs": 2},
    "gmvae": {"hidden_size": 16, "code_size": 3, "style_size": 2, "epochs": 2},
    "vade": {"hidden_sizes": "16-16", "pretraining_epochs": 1, "joint_epochs": 2},
    "vaeic": {"hidden_size": 16, "epochs": 2},
}


def images() -> Tensor:
    return torch.rand(120, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(name: str, seeds: list[int], **settings: Any) -> tuple[Method, Report]:
    kind = catalog.method(name)
    config = kind.config_type(n_components=3, **{**SMALL[name], **settings})
    method = kind(config, (8, 8), seeds)
    for report in method.fit(images()):
        last = report
    return method, last


@pytest.mark.parametrize("name", SMALL)
def test_penalties_are_reported_and_finite(name: str) -> None:
    _, report = trained(name, [0, 1], **WEIGHTS, certainty_weight=1.0)
    for penalty in NAMES:
        assert report.metrics[penalty].shape == (2,)
        assert report.metrics[penalty].isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_a_method_without_weights_has_no_penalties(name: str) -> None:
    _, report = trained(name, [0], **dict.fromkeys(WEIGHTS, 0.0), certainty_weight=0.0)
    assert not set(NAMES) & set(report.metrics)


@pytest.mark.parametrize("name", SMALL)
def test_penalised_replicas_do_not_influence_each_other(name: str) -> None:
    together, _ = trained(name, [3, 4], **WEIGHTS)
    alone, _ = trained(name, [4], **WEIGHTS)
    x = images()
    assert_close(
        together.predict_log_proba(x)[1], alone.predict_log_proba(x)[0], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", [name for name in SMALL if name != "vaeic"])
def test_the_papers_protocol_has_no_penalties_and_that_of_images_has(name: str) -> None:
    kind, presets = catalog.method(name).config_type, method_space(name).presets
    found = {
        preset: AssignmentPenalties(
            kind.from_mapping({"n_components": 10, **presets[preset]}), (28, 28)
        ).any
        for preset in ("paper", "28x28")
    }
    assert found == {"paper": False, "28x28": True}
