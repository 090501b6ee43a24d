"""Plans without data, for tests of what comes before and after training."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np

from tuner.methods.config import Config, setting
from tuner.study.branches import Branch
from tuner.study.plan import Plan
from tuner.study.space import parse_space
from tuner.study.study import Study

SPACES: dict[str, Any] = {
    "plain": {"width": {"float": [0.1, 10.0], "log": True}, "n_components": {"int": [3, 9]}},
    "forked": {
        "kind": {"choice": ["smooth", "rough"]},
        "width": {"float": [0.1, 10.0], "log": True, "when": {"kind": "rough"}},
    },
    "small": {"n_components": {"int": [3, 4]}, "kind": {"choice": ["smooth", "rough"]}},
    "fixed": {},
}
PRESETS: dict[str, dict[str, Any]] = {
    "plain": {"width": 1.0, "n_components": 5},
    "forked": {"kind": "rough", "width": 2.0},
    "small": {"n_components": 4, "kind": "rough"},
}


@dataclass(frozen=True, kw_only=True)
class Settings(Config):
    width: float = setting(1.0, "a number", low=0.0)
    kind: str = setting("smooth", "a choice", choices=("smooth", "rough"))
    epochs: int = setting(9, "passes over the data", low=1)

    @property
    def passes(self) -> int:
        return self.epochs

    def capped(self, epochs: int) -> Self:
        return replace(self, epochs=min(self.epochs, epochs))


def plan(*methods: str, **settings: Any) -> Plan:
    """Return the plan of a study of some of `SPACES`, without data."""
    study = Study(**{"methods": methods, "replicas": 1, **settings})
    branches = {name: _branch(name) for name in methods}
    points = np.zeros((8, 2), np.float32)
    facts = {"shape": (2,), "unit_interval": True, "train": points, "test": points[:2]}
    data = cast(Any, SimpleNamespace(fingerprint="0" * 64, name="none", **facts))
    return Plan(study=study, dataset=data, branches=branches)


def record(of: Plan) -> dict[str, Any]:
    """Return the record that a ledger starts with."""
    study = of.study
    return {"study": study.to_mapping(), "identity": of.identity(), "trials": study.trials}


def _branch(name: str) -> Branch:
    document = {"space": SPACES[name] or SPACES["plain"]}
    space = parse_space(document, Settings, source="a test")
    if not SPACES[name]:
        space = space.without(dict(space.parameters))
    preset = PRESETS.get(name, {})
    return Branch(
        method=name,
        config_type=Settings,
        space=space,
        declared=space,
        base=Settings.from_mapping(preset).to_mapping(),
        presets=(preset,),
        epochs=None,
    )
