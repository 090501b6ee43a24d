"""Search spaces: YAML files with the searched settings of a method, their ranges, and presets.

Reading a space file never runs code, so it is safe to accept one from anyone.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError, did_you_mean
from ..methods import catalog
from ..methods.config import Config, Scalar
from ..small_files import read_small

if TYPE_CHECKING:
    import optuna

_MAX_BYTES = 256 * 1024
_MAX_INTEGER = 2**53  # those that a float holds exactly


class _Entry(BaseModel):
    """One entry of a space file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    integers: Annotated[list[int], Len(2, 2)] | None = Field(None, alias="int")
    floats: Annotated[list[float], Len(2, 2)] | None = Field(None, alias="float")
    choice: Annotated[list[Scalar], Len(1)] | None = None
    log: bool = False
    when: dict[str, Scalar] = {}

    def kinds(self) -> dict[str, list[Any]]:
        """Return those of int, float and choice that are set."""
        values = {"int": self.integers, "float": self.floats, "choice": self.choice}
        return {kind: value for kind, value in values.items() if value is not None}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    space: Annotated[dict[str, _Entry], Len(1)]
    presets: dict[str, dict[str, Scalar]] = {}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One searched setting: its range or choices, and the values of other settings it requires."""

    name: str
    kind: str
    low: float = 0
    high: float = 0
    choices: tuple[Scalar, ...] = ()
    log: bool = False
    when: Mapping[str, Scalar] = field(default_factory=dict)

    def suggest(self, trial: "optuna.Trial", key: str) -> Scalar:
        """Return the value for a trial, which Optuna stores under `key`."""
        if self.kind == "choice":
            chosen: Scalar = trial.suggest_categorical(key, self.choices)  # type: ignore[assignment]
            return chosen
        if self.kind == "int":
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    @property
    def highest(self) -> Scalar:
        """The upper end of a range."""
        return int(self.high) if self.kind == "int" else self.high

    def admits(self, value: Scalar) -> bool:
        """Return whether a value is in the range or among the choices."""
        if self.kind == "choice":
            return value in self.choices
        return not isinstance(value, str) and self.low <= value <= self.high

    def widened(self, value: Scalar) -> Self:
        """Return the parameter with a value in its range or among its choices, if it can be."""
        if self.admits(value):
            return self
        if self.kind == "choice":
            return replace(self, choices=_ordered((*self.choices, value)))
        if isinstance(value, str) or (self.log and value <= 0):
            return self
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def applies(self, settings: Mapping[str, Scalar]) -> bool:
        """Return whether the settings satisfy the conditions in `when`."""
        return all(settings[name] == value for name, value in self.when.items())

    def describe(self) -> dict[str, Any]:
        """Return the entry in the format of a space file."""
        if self.kind == "choice":
            entry: dict[str, Any] = {"choice": list(self.choices)}
        else:
            entry = {self.kind: [self.low, self.high]}
        if self.log:
            entry["log"] = True
        if self.when:
            entry["when"] = dict(self.when)
        return entry


def _ordered(choices: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """Return choices by size if they are numbers."""
    numbers = [choice for choice in choices if type(choice) in (int, float)]
    return tuple(sorted(numbers)) if len(numbers) == len(choices) else choices


@dataclass(frozen=True)
class Space:
    """The searched settings, each after those it depends on, and presets by name."""

    parameters: Mapping[str, Parameter]
    presets: Mapping[str, Mapping[str, Scalar]]

    def without(self, fixed: Mapping[str, Scalar]) -> Self:
        """Return the space without the fixed settings."""
        left = {name: p for name, p in self.parameters.items() if name not in fixed}
        return replace(self, parameters=left)

    def capped(self, name: str, high: int) -> Self:
        """Return the space with an upper bound on one setting, no lower than its lower bound."""
        parameter = self.parameters.get(name)
        if parameter is None or parameter.kind == "choice" or parameter.high <= high:
            return self
        capped = replace(parameter, high=max(parameter.low, high))
        return replace(self, parameters={**self.parameters, name: capped})

    def widened(self, settings: Mapping[str, Scalar]) -> Self:
        """Return the space with settings in their ranges or among their choices."""
        parameters = {
            name: p.widened(settings[name]) if name in settings else p
            for name, p in self.parameters.items()
        }
        return replace(self, parameters=parameters)

    def overridden(self, other: "Space") -> "Space":
        """Return the space with the entries and presets of another one added or replaced."""
        parameters = _sorted({**self.parameters, **other.parameters})
        return Space(parameters, {**self.presets, **other.presets})

    def to_mapping(self) -> dict[str, Any]:
        """Return the space in the format of a space file."""
        return {
            "space": {name: p.describe() for name, p in self.parameters.items()},
            "presets": {name: dict(preset) for name, preset in self.presets.items()},
        }

    def digest(self) -> str:
        """Return a hash of the searched settings, without the presets."""
        text = json.dumps(self.to_mapping()["space"], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def method_space(name: str) -> Space:
    """Return the built-in search space of a method."""
    config_type = catalog.method(name).config_type
    return read_space(catalog.space_file(name), config_type)


def read_space(path: Path, config: type[Config]) -> Space:
    """Read a space file for a method's configuration. Raises UsageError."""
    try:
        raw = read_small(path, _MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"space file {path} cannot be read ({error.strerror}): give a YAML file"
        ) from None
    return parse_space(_yaml(raw, str(path)), config, source=str(path))


def parse_space(document: Any, config: type[Config], *, source: str) -> Space:
    """Return the space of a document in the format of a space file. Raises UsageError."""
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise UsageError(f"{source} is {kind}: write a mapping with the keys space and presets")
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        hint = _string_number_hint(first["input"])
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{source}: {place} = {first['input']!r}: {message}{hint}") from None
    fields = config.__dataclass_fields__
    parameters = {
        name: _parameter(name, entry, fields, source) for name, entry in file.space.items()
    }
    for name, preset in file.presets.items():
        _check_settings(preset, config, f"{source}: preset {name}")
    return Space(_sorted(parameters, source), file.presets)


def _parameter(name: str, entry: _Entry, fields: Mapping[str, Any], source: str) -> Parameter:
    where = f"{source}: {name}"
    if name not in fields:
        near = did_you_mean(name, fields)
        raise UsageError(
            f"{where} is not a setting of the method{near}; allowed: {', '.join(fields)}"
        )
    for parent in entry.when:
        if parent not in fields:
            raise UsageError(
                f"{where}: when names {parent!r}, which is not a setting of the method"
                f"{did_you_mean(parent, fields)}; allowed: {', '.join(fields)}"
            )
        required = Parameter(name=parent, kind="choice", choices=(entry.when[parent],))
        _check_type(required, fields[parent], f"{where}: when {parent}")
    kinds = entry.kinds()
    if len(kinds) != 1:
        raise UsageError(f"{where} has {len(kinds)} of int, float and choice: give exactly one")
    kind, values = next(iter(kinds.items()))
    parameter = _with_values(name, kind, values, entry, where)
    _check_type(parameter, fields[name], where)
    return parameter


def _with_values(name: str, kind: str, values: list[Any], entry: _Entry, where: str) -> Parameter:
    if kind == "choice":
        if len({repr(value) for value in values}) < len(values):
            raise UsageError(f"{where}: {values} has a choice twice: remove one of them")
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise UsageError(f"{where}: {values} has a number that is not finite: remove it")
        return Parameter(name=name, kind=kind, choices=tuple(values), when=entry.when)
    low, high = values
    if any(isinstance(value, int) and abs(value) > _MAX_INTEGER for value in values):
        raise UsageError(f"{where}: [{low}, {high}]: give integers of at most {_MAX_INTEGER:,}")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"{where}: [{low}, {high}] is not finite: give two finite numbers")
    if low >= high:
        raise UsageError(f"{where}: [{low}, {high}]: the first number must be smaller")
    if entry.log and low <= 0:
        raise UsageError(f"{where}: log requires a lower bound above 0, not {low}")
    return Parameter(name=name, kind=kind, low=low, high=high, log=entry.log, when=entry.when)


def _check_type(parameter: Parameter, f: Any, where: str) -> None:
    """Raise for values that the configuration itself would reject."""
    kind, meta = f.type if isinstance(f.type, type) else type(f.default), f.metadata
    if parameter.kind != "choice" and parameter.kind != kind.__name__:
        raise UsageError(f"{where}: {parameter.kind}, but the setting is of type {kind.__name__}")
    for value in parameter.choices or (parameter.low, parameter.high):
        number = kind is float and isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not kind and not number:
            raise UsageError(
                f"{where}: {value!r}, but the setting is of type {kind.__name__}"
                f"{_string_number_hint(value)}"
            )
        low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside or (choices and value not in choices):
            allowed = ", ".join(map(str, choices)) if choices else f"{low} to {high}"
            raise UsageError(f"{where}: {value!r} is not allowed: use {allowed}")


def _check_settings(settings: Mapping[str, Scalar], config: type[Config], where: str) -> None:
    try:
        config.from_mapping(settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _sorted(parameters: Mapping[str, Parameter], source: str = "space") -> dict[str, Parameter]:
    """Return the parameters with parents first. Raises UsageError for a cycle of conditions."""
    ordered: dict[str, Parameter] = {}
    rest = dict(parameters)
    while rest:
        ready = [n for n, p in rest.items() if not any(parent in rest for parent in p.when)]
        if not ready:
            cycle = ", ".join(rest)
            raise UsageError(f"{source}: the conditions of {cycle} form a cycle: remove one")
        for name in ready:
            ordered[name] = rest.pop(name)
    return ordered


def _string_number_hint(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f" (YAML reads {value} as text: write {number!r} with a dot)"


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that also rejects duplicate keys and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"alias *{event.anchor}: write the value out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a name: write a name", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} appears twice: keep one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml(raw: bytes, source: str) -> Any:
    try:
        return yaml.load(raw.decode("utf-8-sig"), _Loader)  # a subclass of SafeLoader
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not UTF-8 text: save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UsageError(f"{source} is not a usable YAML file{place}: {problem}") from None
    except RecursionError:
        raise UsageError(f"{source} is nested too deeply: a space has two levels") from None
