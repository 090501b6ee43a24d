"""The branches of a study: for each method what is searched, and the values of all else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..data.summary import DataSummary
from ..errors import UsageError
from .older_settings import added_settings, older_defaults
from .presets import Preset, chosen, recorded
from .study import Study

if TYPE_CHECKING:
    from ..methods.config import Config, Scalar
    from .space import Space

COMPONENTS = "n_components"


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One method of a study: its search space, and the values of all other settings.

    `declared` is the space before it was cut to what the data allow and widened to the preset. It
    identifies the search, so that one which was started before a version cut more remains
    resumable. `presets` has the searched settings of the first trial, or nothing.
    """

    method: str
    config_type: type["Config"]
    space: "Space"
    declared: "Space"
    base: Mapping[str, "Scalar"]
    presets: tuple[Mapping[str, "Scalar"], ...]
    epochs: int | None
    preset: Preset = field(default_factory=Preset)

    def config(self, params: Mapping[str, "Scalar"]) -> "Config":
        """Return the configuration of a trial, with the epoch limit of the study applied."""
        config = self.config_type.from_mapping({**self.base, **params})
        return config if self.epochs is None else config.capped(self.epochs)

    @property
    def first(self) -> dict[str, "Scalar"]:
        """The searched settings of the first trial; the sampler draws those that are not here."""
        return dict(self.presets[0]) if self.presets else {}

    def begins_text(self, wanted: str | None) -> str:
        """Return in words which settings the first trial takes, for a preset that was wanted."""
        text = self.preset.text(wanted)
        return text if self.presets else f"drawn, since {text} lie outside of the ranges"

    @property
    def most_passes(self) -> int:
        """The most passes over the data that a trial makes, whatever is searched."""
        chosen: dict[str, Scalar] = {}
        for name, parameter in self.space.parameters.items():
            ends = parameter.choices or (parameter.highest,)
            chosen[name] = max(ends, key=lambda end: self.config({**chosen, name: end}).passes)
        return self.config(chosen).passes


def branches_of(
    study: Study, data: DataSummary, record: Mapping[str, Any] | None = None
) -> dict[str, Branch]:
    """Return the branch of every method of a study. Raises UsageError if none can be.

    `record` is that of a search that has begun, whose presets stay as they were.
    """
    spaces = {name: _space(study, name) for name in study.methods}
    if record is None:
        presets = chosen(study, data, spaces)
    else:
        presets = recorded(record, study, data, spaces)
    return {name: _branch(study, data, name, spaces[name], presets[name]) for name in spaces}


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


def _space(study: Study, name: str) -> "Space":
    """Return the search space of a method with what the study gives for it."""
    from ..methods import catalog
    from .space import method_space, parse_space

    space = method_space(name)
    if name not in study.spaces:
        return space
    config_type = catalog.method(name).config_type
    return space.overridden(parse_space(study.spaces[name], config_type, source="--space"))


def _branch(study: Study, data: DataSummary, name: str, space: "Space", preset: Preset) -> Branch:
    from ..methods import catalog

    config_type = catalog.method(name).config_type
    fixed = settings_for(name, study.fixed)
    if preset.older:
        fixed = {**added_settings(name), **fixed}
    forced = config_type.forced_by(unit_interval=data.unit_interval)
    _check_forced(forced, fixed, space, data)
    before = older_defaults(name) if preset.older else {}
    base = {**before, **preset.settings, **fixed, **forced}
    settings = config_type.from_mapping(base).to_mapping()
    declared = space.without(fixed)
    searched = declared.without(forced)
    given = study.spaces.get(name, {}).get("space", {})
    if COMPONENTS not in given:
        searched = searched.capped(COMPONENTS, most_components(data.train))
    if not preset.older:
        # settings that do not apply are not tried, and ranges of the user's own stay as they are
        base = {k: v for k, v in base.items() if _applies(searched, k, settings)}
        tried = {k: v for k, v in base.items() if k not in given and k != COMPONENTS}
        searched = searched.widened(tried)
    first = _first(searched, base, settings)
    fits = all(searched.parameters[key].admits(value) for key, value in first.items())
    return Branch(
        method=name,
        config_type=config_type,
        space=searched,
        declared=declared,
        base=settings,
        presets=(first,) if fits else (),
        epochs=study.epochs,
        preset=preset,
    )


def _applies(space: "Space", name: str, settings: Mapping[str, "Scalar"]) -> bool:
    parameter = space.parameters.get(name)
    return parameter is None or parameter.applies(settings)


def _first(
    space: "Space", given: Mapping[str, "Scalar"], settings: Mapping[str, "Scalar"]
) -> dict[str, "Scalar"]:
    """Return the searched settings to begin with: those given, and defaults within their range."""
    return {
        key: settings[key]
        for key, parameter in space.parameters.items()
        if key in given or parameter.admits(settings[key])
    }


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
