"""A study, the frozen description of one search, and its checks before any work begins."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..data.preparation import Preparation
from ..data.summary import DataSummary
from ..errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Config, Scalar
    from .space import Parameter, Space

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2")
SCHEDULERS = ("asha", "hyperband", "median", "none")
OBJECTIVES = ("separation", "modularity", "elbo", "acc", "nmi", "ami", "ari")
GRAPH_OBJECTIVES = OBJECTIVES[:2]
LABEL_OBJECTIVES = OBJECTIVES[3:]
# bounds are comparable only between trials with equal values of these
_ELBO_SETTINGS = ("n_components", "likelihood", "reconstruction_weight")
_COMPONENTS = "n_components"
_BOUNDS = {
    "trials": (1, 1_000_000),
    "replicas": (1, 1_000),
    "finalists": (1, 1_000),
    "finalist_seeds": (1, 1_000),
    "epochs": (1, 1_000_000_000),
    "seed": (0, 2**32 - 1),  # of scikit-learn
}
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The description of one search: what is searched and how trials are scored.

    `dataset` is the name of a built-in one, the path of a file or folder, or data in memory: a
    data frame, a mapping of columns, or an array of points. `labels` names the column of a table
    that holds the classes, or holds those of an array. `preparation` says how the data are
    encoded and scaled.

    `fixed` settings are not searched. A key `METHOD.SETTING` applies to one method only. `spaces`
    overrides entries of the methods' search spaces, by documents in the format of a space file.
    `epochs` limits the passes of a trial over the data, and `replicas` is its number of seeds.
    """

    methods: tuple[str, ...] = ("gmvae",)
    dataset: Any = "digits"
    labels: Any = None
    trials: int = 100
    replicas: int = 3
    epochs: int | None = None
    objective: str = "separation"
    use_labels: bool = False
    sampler: str = "tpe"
    scheduler: str = "asha"
    seed: int = 0
    preparation: Preparation = field(default_factory=Preparation)
    fixed: Mapping[str, "Scalar"] = field(default_factory=dict)
    spaces: Mapping[str, Any] = field(default_factory=dict)
    finalists: int = 3
    finalist_seeds: int = 5
    name: str | None = None
    register: str | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            _within(name, getattr(self, name), low, high)
        _one_of("sampler", self.sampler, SAMPLERS)
        _one_of("scheduler", self.scheduler, SCHEDULERS)
        _one_of("objective", self.objective, OBJECTIVES)
        if self.objective in LABEL_OBJECTIVES and not self.use_labels:
            raise UsageError(
                f"objective {self.objective!r} uses labels: choose separation or elbo, "
                "or allow it with --use-labels"
            )
        for slug in (self.name, self.register):
            if slug is not None:
                check_slug(slug)
        if not self.methods:
            raise UsageError("no method is named: name at least one, or all")

    def to_mapping(self) -> dict[str, Any]:
        """Return the study as JSON values."""
        if not isinstance(self.dataset, str):
            raise TypeError("a study of data in memory is recorded once these are in a file")
        values = {**dataclasses.asdict(self), "preparation": self.preparation.to_mapping()}
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the study from the values of `to_mapping`. Raises UsageError for others."""
        try:
            preparation = Preparation.from_mapping(values["preparation"])
            known = {"methods": tuple(values["methods"]), "preparation": preparation}
            return cls(**{**values, **known})
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"the study is not one that this version can have written ({error}): upgrade "
                "tuner, or restore the ledger from a backup"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One method of a study: its search space, and the values of all other settings.

    `declared` is the space before it was cut to what the data allow. It identifies the search, so
    that one which was started before a version cut more remains resumable.
    """

    method: str
    config_type: type["Config"]
    space: "Space"
    declared: "Space"
    base: Mapping[str, "Scalar"]
    presets: tuple[Mapping[str, "Scalar"], ...]
    epochs: int | None

    def config(self, params: Mapping[str, "Scalar"]) -> "Config":
        """Return the configuration of a trial, with the epoch limit of the study applied."""
        config = self.config_type.from_mapping({**self.base, **params})
        return config if self.epochs is None else config.capped(self.epochs)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A plan without the points of its data, which reports of a search do not need."""

    study: Study
    data: DataSummary
    branches: Mapping[str, Branch]

    def identity(self) -> dict[str, Any]:
        """Return the properties that a resumed search must share, by name."""
        study = self.study.to_mapping()
        kept = ("objective", "use_labels", "replicas", "epochs", "sampler", "scheduler", "seed")
        spaces = {
            name: {"space": branch.declared.digest(), "settings": _digest(branch.base)}
            for name, branch in self.branches.items()
        }
        data = {"data": self.data.fingerprint, "spaces": spaces}
        return {**{key: study[key] for key in kept}, **data}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study that has been checked against its data and its methods."""

    study: Study
    dataset: "Dataset"
    branches: Mapping[str, Branch]

    @cached_property
    def outline(self) -> Outline:
        """The plan without the points."""
        data = DataSummary.of(self.dataset)
        return Outline(study=self.study, data=data, branches=self.branches)

    @property
    def passes(self) -> int:
        """The most passes over the data that a branch makes at its base settings."""
        return max(branch.config({}).passes for branch in self.branches.values())

    def identity(self) -> dict[str, Any]:
        """Return the properties that a resumed search must share, by name."""
        return self.outline.identity()


def prepare(study: Study) -> Plan:
    """Check the methods, spaces, settings, data and objective of a study. Raises TunerError."""
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
    branches = _branches(study, DataSummary.of(dataset))
    _check_objective(study, dataset, branches)
    _check_components(study, branches, len(dataset.train))
    params = sum(len(branch.space.parameters) for branch in branches.values())
    if params == 0 and len(branches) == 1 and study.trials > 1:
        raise UsageError(
            f"every setting of {names[0]} is fixed, so {study.trials} trials would be the same: "
            "fix fewer settings with --set, or train once with tuner train"
        )
    return Plan(study=study, dataset=dataset, branches=branches)


def outline(study: Study, data: DataSummary) -> Outline:
    """Return the outline of a study that was checked when it was started."""
    return Outline(study=study, data=data, branches=_branches(study, data))


def most_components(points: int) -> int:
    """Return the most clusters that a search looks for by itself: √n, but 2 to 100.

    The clusters then have √n points each on average, and at least as many as a graph has
    neighbours from 100 points on.
    """
    return min(100, max(2, math.isqrt(points)))


def slug(text: str) -> str:
    """Return a valid name for a text such as a file name, without the other characters."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).stem).strip("-._")
    return cleaned[:48] or "data"


def check_slug(name: str) -> str:
    """Return a name that is safe in paths and URLs. Raises UsageError for any other."""
    if SLUG.fullmatch(name) is None:
        shown = name if len(name) <= 40 else f"{name[:40]}… ({len(name)} characters)"
        raise UsageError(
            f"name {shown!r} is not usable: start with a letter or digit, "
            "followed by up to 63 letters, digits, dots, underscores or hyphens"
        )
    return name


def settings_for(method: str, fixed: Mapping[str, "Scalar"]) -> dict[str, "Scalar"]:
    """Return the fixed settings of a method, those with the prefix `METHOD.` taking precedence."""
    from ..methods import catalog

    fields = catalog.method(method).config_type.__dataclass_fields__
    plain = {key: value for key, value in fixed.items() if key in fields}
    prefix = f"{method}."
    prefixed = {k.removeprefix(prefix): v for k, v in fixed.items() if k.startswith(prefix)}
    return plain | prefixed


def _branches(study: Study, data: DataSummary) -> dict[str, Branch]:
    return {name: _branch(study, data, name) for name in study.methods}


def _branch(study: Study, data: DataSummary, name: str) -> Branch:
    from ..methods import catalog
    from .space import method_space, parse_space

    config_type = catalog.method(name).config_type
    space = method_space(name)
    if name in study.spaces:
        space = space.overridden(parse_space(study.spaces[name], config_type, source="--space"))
    fixed = settings_for(name, study.fixed)
    forced = config_type.forced_by(unit_interval=data.unit_interval)
    _check_forced(forced, fixed, space, data)
    base = {**space.presets.get(data.name, {}), **fixed, **forced}
    settings = config_type.from_mapping(base).to_mapping()
    declared = space.without(fixed)
    searched = declared.without(forced)
    if _COMPONENTS not in study.spaces.get(name, {}).get("space", {}):
        searched = searched.capped(_COMPONENTS, most_components(data.train))
    first = {
        key: settings[key]
        for key, parameter in searched.parameters.items()
        if key in base or parameter.admits(settings[key])
    }
    fits = all(searched.parameters[key].admits(value) for key, value in first.items())
    return Branch(
        method=name,
        config_type=config_type,
        space=searched,
        declared=declared,
        base=settings,
        presets=(first,) if fits else (),
        epochs=study.epochs,
    )


def _check_forced(
    forced: Mapping[str, "Scalar"],
    fixed: Mapping[str, "Scalar"],
    space: "Space",
    data: DataSummary,
) -> None:
    """Raise UsageError if settings or the space leave no value that the data allow."""
    for name, value in forced.items():
        parameter = space.parameters.get(name)
        given = fixed.get(name, value)
        if given != value or (parameter is not None and not parameter.admits(value)):
            wrong = f"--set {name}={given}" if given != value else f"--space with {name}"
            raise UsageError(
                f"{wrong} does not fit {data.name}, which has values outside [0, 1]: "
                f"use {name}={value}, or scale the data to [0, 1]"
            )


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
            allowed = ", ".join(dict.fromkeys(k for k in known if "." not in k))
            raise UsageError(
                f"--set {key}: no such setting{did_you_mean(key, known)}; allowed: {allowed}"
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
        params = branch.space.parameters.get(_COMPONENTS)
        most = _most(params) if params is not None else int(branch.base[_COMPONENTS])
        if most <= points:
            continue
        asked = _COMPONENTS in settings_for(name, study.fixed) or (
            _COMPONENTS in study.spaces.get(name, {}).get("space", {})
        )
        problem = f"{name} would look for up to {most} clusters in {points} training points"
        remedy = f"use --set n_components=K or a --space with K at most {points}"
        if asked:
            raise UsageError(f"{problem}: {remedy}")
        raise DataError(f"{problem}: provide more data, or {remedy}")


def _most(components: "Parameter") -> int:
    choices = [int(choice) for choice in components.choices]
    return max(choices, default=int(components.high))


def _within(name: str, value: int | None, low: int, high: int) -> None:
    if value is None and name == "epochs":
        return
    if type(value) is not int or value < low:
        raise UsageError(f"{name}={value!r} is not usable: give a whole number of at least {low}")
    if value > high:
        raise UsageError(f"{name}={value} is not usable: give at most {high:,}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise UsageError(f"no {name} {value!r}{near}; choose one of {', '.join(allowed)}")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
