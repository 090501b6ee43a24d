"""A plan: a study checked against its data and its methods, before any work begins."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ..data.summary import DataSummary
from ..errors import DataError, UsageError, did_you_mean
from .branches import COMPONENTS, Branch, branches_of, settings_for
from .older_settings import added_settings
from .order import cheap_first
from .presets import recorded_order
from .slugs import slug
from .study import LABEL_OBJECTIVES, Study

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Scalar
    from .space import Parameter

_SHOWN_METHODS = 3
# bounds are comparable only between trials with equal values of these
_ELBO_SETTINGS = ("n_components", "likelihood", "reconstruction_weight")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A plan without the points of its data, which reports of a search do not need."""

    study: Study
    data: DataSummary
    branches: Mapping[str, Branch]
    order: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Return the properties that a resumed search must share, by name."""
        study = self.study.to_mapping()
        kept = ("objective", "use_labels", "replicas", "epochs", "sampler", "scheduler", "seed")
        spaces = {
            name: {"space": branch.declared.digest(), "settings": _digest(_own(branch))}
            for name, branch in self.branches.items()
        }
        data = {"data": self.data.fingerprint, "spaces": spaces}
        # searches of versions without restarts have none in their identity
        restarts = {"restarts": self.study.restarts} if self.study.restarts > 1 else {}
        return {**{key: study[key] for key in kept}, **restarts, **data}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study that has been checked against its data and its methods.

    The first trials take the methods in `order`, without one as they are named.
    """

    study: Study
    dataset: "Dataset"
    branches: Mapping[str, Branch]
    order: tuple[str, ...] = ()

    @cached_property
    def outline(self) -> Outline:
        """The plan without the points."""
        data = DataSummary.of(self.dataset)
        return Outline(study=self.study, data=data, branches=self.branches, order=self.order)

    @property
    def beginning(self) -> list[Branch]:
        """The branches in the order of their first trials."""
        return beginning(self.branches, self.order)

    def identity(self) -> dict[str, Any]:
        """Return the properties that a resumed search must share, by name."""
        return self.outline.identity()


def prepare(study: Study, record: Mapping[str, Any] | None = None) -> Plan:
    """Check the methods, spaces, settings, data and objective of a study. Raises TunerError.

    `record` is that of a search that has begun, which keeps its presets and their order.
    """
    from ..data import load
    from ..methods import catalog

    names = catalog.names() if study.methods == ("all",) else study.methods
    if len(set(names)) < len(names):
        raise UsageError(f"a method in {', '.join(names)} is named twice: name each one once")
    for name in names:
        catalog.method(name)
    _check_fixed_names(study.fixed, names)
    dataset = load(study.dataset, labels=study.labels, preparation=study.preparation)
    study = replace(study, methods=tuple(names), register=study.register or slug(dataset.name))
    branches = branches_of(study, DataSummary.of(dataset), record)
    _check_objective(study, dataset, branches)
    _check_components(study, branches, len(dataset.train))
    params = sum(len(branch.space.parameters) for branch in branches.values())
    if params == 0 and len(branches) == 1 and study.trials > 1:
        raise UsageError(
            f"every setting of {names[0]} is fixed, so {study.trials} trials would be the same: "
            "fix fewer settings with --set, or train once with tuner train"
        )
    order = cheap_first(branches, dataset.shape) if record is None else recorded_order(record)
    return Plan(study=study, dataset=dataset, branches=branches, order=order)


def outline(study: Study, data: DataSummary, record: Mapping[str, Any]) -> Outline:
    """Return the outline of a study that was checked when its search was started."""
    branches = branches_of(study, data, record)
    return Outline(study=study, data=data, branches=branches, order=recorded_order(record))


def beginning(branches: Mapping[str, Branch], order: Sequence[str]) -> list[Branch]:
    """Return branches in the order of their first trials."""
    return [branches[name] for name in order or branches]


def begins_text(plan: Plan | Outline) -> str:
    """Return in words which settings the first trials take."""
    wanted = plan.study.preset
    texts = [(b.method, b.begins_text(wanted)) for b in beginning(plan.branches, plan.order)]
    alike = groupby(texts, key=itemgetter(1))
    return "; ".join(f"{', '.join(name for name, _ in same)}: {text}" for text, same in alike)


def _check_fixed_names(fixed: Mapping[str, "Scalar"], names: tuple[str, ...]) -> None:
    from ..methods import catalog

    known = [
        key
        for name in names
        for setting in catalog.method(name).config_type.__dataclass_fields__
        for key in (setting, f"{name}.{setting}")
    ]
    for key in fixed:
        if key not in known:
            method = key.partition(".")[0]
            own = [method] if method in names else list(names)
            shown = " and ".join(f"`tuner methods {name}`" for name in own[:_SHOWN_METHODS])
            more = "" if len(own) <= _SHOWN_METHODS else ", and so on,"
            raise UsageError(
                f"--set {key}: no such setting{did_you_mean(key, known)}: allowed are those "
                f"that {shown}{more} {'list' if len(own) > 1 else 'lists'}"
            )


def _check_objective(study: Study, dataset: "Dataset", branches: Mapping[str, Branch]) -> None:
    if study.objective in LABEL_OBJECTIVES and dataset.train_labels is None:
        raise UsageError(
            f"objective {study.objective!r} needs labels, which {dataset.name} does not have: "
            "choose separation, or name the column of labels with --labels"
        )
    if study.objective != "elbo":
        return
    from ..methods import catalog
    from ..methods.contract import Bounds

    if len(branches) > 1:
        raise UsageError(
            "objective 'elbo' is comparable within one method only: name one, or choose separation"
        )
    ((name, branch),) = branches.items()
    method = catalog.method(name)
    if not issubclass(method.clusterer_of(branch.config({})), Bounds):
        raise UsageError(f"{name} has no evidence lower bound: choose the objective separation")
    for setting in _ELBO_SETTINGS:
        if setting in branch.space.parameters:
            raise UsageError(
                f"objective 'elbo' cannot compare trials that differ in {setting}: "
                f"fix it with --set {setting}=VALUE, or choose separation"
            )


def _check_components(study: Study, branches: Mapping[str, Branch], points: int) -> None:
    for name, branch in branches.items():
        params = branch.space.parameters.get(COMPONENTS)
        most = _most(params) if params is not None else int(branch.base[COMPONENTS])
        if most <= points:
            continue
        asked = COMPONENTS in settings_for(name, study.fixed) or (
            COMPONENTS in study.spaces.get(name, {}).get("space", {})
        )
        problem = f"{name} would look for up to {most} clusters in {points} training points"
        remedy = f"use --set n_components=K or a --space with K at most {points}"
        if asked:
            raise UsageError(f"{problem}: {remedy}")
        raise DataError(f"{problem}: provide more data, or {remedy}")


def _most(components: "Parameter") -> int:
    choices = [int(choice) for choice in components.choices]
    return max(choices, default=int(components.high))


def _own(branch: Branch) -> dict[str, Any]:
    """Return the settings of a branch without those added since that do nothing.

    A search that began without them keeps its identity.
    """
    added = added_settings(branch.method)
    return {
        name: value
        for name, value in branch.base.items()
        if name not in added or value != added[name]
    }


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
