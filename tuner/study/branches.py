"""The branches of a study: for each method what is searched, and the values of all else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.summary import DataSummary
from ..errors import UsageError
from .study import Study

if TYPE_CHECKING:
    from ..methods.config import Config, Scalar
    from .space import Space

COMPONENTS = "n_components"


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

    @property
    def first(self) -> dict[str, "Scalar"]:
        """The searched settings of the first trial; the sampler draws those that are not here."""
        return dict(self.presets[0]) if self.presets else {}

    @property
    def most_passes(self) -> int:
        """The most passes over the data that a trial makes, whatever is searched."""
        chosen: dict[str, Scalar] = {}
        for name, parameter in self.space.parameters.items():
            ends = parameter.choices or (parameter.highest,)
            chosen[name] = max(ends, key=lambda end: self.config({**chosen, name: end}).passes)
        return self.config(chosen).passes


def branches_of(study: Study, data: DataSummary) -> dict[str, Branch]:
    """Return the branch of every method of a study. Raises UsageError if none can be."""
    return {name: _branch(study, data, name) for name in study.methods}


def settings_for(method: str, fixed: Mapping[str, "Scalar"]) -> dict[str, "Scalar"]:
    """Return the fixed settings of a method, those with the prefix `METHOD.` taking precedence."""
    from ..methods import catalog

    fields = catalog.method(method).config_type.__dataclass_fields__
    plain = {key: value for key, value in fixed.items() if key in fields}
    prefix = f"{method}."
    prefixed = {k.removeprefix(prefix): v for k, v in fixed.items() if k.startswith(prefix)}
    return plain | prefixed


def most_components(points: int) -> int:
    """Return the most clusters that a search looks for by itself: √n, but 2 to 100.

    The clusters then have √n points each on average, and at least as many as a graph has
    neighbours from 100 points on.
    """
    return min(100, max(2, math.isqrt(points)))


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
    if COMPONENTS not in study.spaces.get(name, {}).get("space", {}):
        searched = searched.capped(COMPONENTS, most_components(data.train))
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
