"""A study, the frozen description of one search."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ..data.preparation import Preparation
from ..errors import UsageError, did_you_mean
from .slugs import check_slug

if TYPE_CHECKING:
    from ..methods.config import Scalar

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2")
SCHEDULERS = ("asha", "hyperband", "median", "none")
OBJECTIVES = ("separation", "modularity", "elbo", "acc", "nmi", "ami", "ari")
GRAPH_OBJECTIVES = OBJECTIVES[:2]
LABEL_OBJECTIVES = OBJECTIVES[3:]
_BOUNDS = {
    "trials": (1, 1_000_000),
    "replicas": (1, 1_000),
    "restarts": (1, 64),
    "finalists": (1, 1_000),
    "finalist_seeds": (1, 1_000),
    "epochs": (1, 1_000_000_000),
    "seed": (0, 2**32 - 1),  # of scikit-learn
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """The description of one search: what is searched and how trials are scored.

    Parameters
    ----------
    methods
        Names of the methods to search, or ``("all",)``.
    dataset
        The name of a built-in dataset, the path of a file or folder, or data in memory: a data
        frame, a mapping of columns, or an array of points (N, …).
    labels
        The column of a table that holds the classes, or the classes (N,) of an array. They are
        used for audits, never for training.
    trials
        How many configurations are tried.
    replicas
        How many seeds each trial trains side by side; its score is their mean.
    restarts
        How many candidates each replica begins with, finalists included. Within a third of the
        passes they are halved by their score without labels until one is left.
    epochs
        The most passes of a trial over the data, by default what the method sets.
    objective
        What is maximised: separation, modularity, elbo, or one that compares with labels (acc,
        nmi, ami, ari).
    use_labels
        Whether an objective that compares with labels is allowed.
    sampler
        What proposes trials: tpe, gp, cmaes, qmc, random, grid or nsga2.
    scheduler
        What stops trials early: asha, hyperband, median or none.
    seed
        The seed of the sampler, and of all that is trained.
    preparation
        How the data are read, encoded and scaled.
    fixed
        Settings that are not searched. A key ``METHOD.SETTING`` applies to one method only.
    preset
        The name of the presets that methods begin with, such as ``"paper"``; by default that of
        the dataset over that of the size of its images.
    spaces
        Entries of search spaces to override, as documents in the format of a space file.
    finalists
        How many of the best configurations are trained again.
    finalist_seeds
        On how many fresh seeds.
    name
        The name of the search, by default one that is free.
    register
        The name of the model in the registry, by default that of the dataset.

    Raises
    ------
    UsageError
        If a value is not allowed. Data, methods and search spaces are checked by `tuner.search`.

    Examples
    --------
    >>> import tuner
    >>> tuner.Study(methods=("gmvae", "em_vae"), trials=50).replicas
    3
    >>> tuner.Study(methods=("gmm",), fixed={"n_components": 10}).fixed
    {'n_components': 10}
    >>> tuner.Study(sampler="tpa")
    Traceback (most recent call last):
    tuner.errors.UsageError: no sampler 'tpa'; did you mean 'tpe'?; ...
    """

    methods: tuple[str, ...] = ("gmvae",)
    dataset: Any = "digits"
    labels: Any = None
    trials: int = 100
    replicas: int = 3
    restarts: int = 1
    epochs: int | None = None
    objective: str = "separation"
    use_labels: bool = False
    sampler: str = "tpe"
    scheduler: str = "asha"
    seed: int = 0
    preparation: Preparation = field(default_factory=Preparation)
    fixed: Mapping[str, "Scalar"] = field(default_factory=dict)
    preset: str | None = None
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
        if self.preset is not None and not isinstance(self.preset, str):
            raise UsageError(f"preset={self.preset!r} is not usable: give the name of a preset")
        if not self.methods:
            raise UsageError("no method is named: name at least one, or all")

    @property
    def replicas_text(self) -> str:
        """How many replicas a trial trains, in words."""
        return replicas_text(self.replicas, self.restarts)

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


def replicas_text(replicas: int, restarts: int) -> str:
    """Return how many replicas are trained, and of how many restarts each is the best."""
    return f"{replicas} replicas" + (f", each the best of {restarts} restarts" * (restarts > 1))


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
