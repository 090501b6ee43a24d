"""The catalog of methods, found by file name and by entry point.

A method of this package is `tuner/models/NAME.py` (or a package of that name) together with
`tuner/search_spaces/NAME.yaml`. Another package offers a method by an entry point in the group
`tuner.methods`, `NAME = "package.module:Class"`, with its search space next to the module in
`module.yaml`. A method of this package takes precedence over an entry point of the same name.
"""

import importlib
import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from .contract import Method

_ROOT = Path(__file__).parents[1]
MODELS = _ROOT / "models"
"""The folder with the methods of this package."""

_GROUP = "tuner.methods"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted."""
    return tuple(sorted(_builtin_names() | set(_plugins())))


@cache
def method(name: str) -> "type[Method]":
    """Return the method of this name. Raises UsageError, with the closest name, if unknown."""
    _check(name)
    if name in _plugins():
        loaded: type[Method] = _plugins()[name].load()
        return loaded
    return _single_method(importlib.import_module(f"..models.{name}", __package__))


def space_file(name: str) -> Path:
    """Return the YAML file with the search space of a method."""
    _check(name)
    if name in _plugins():
        return Path(inspect.getfile(method(name))).with_suffix(".yaml")
    return _ROOT / "search_spaces" / f"{name}.yaml"


def distribution(name: str) -> str | None:
    """Return the distribution that offers a method by entry point, None for a built-in one."""
    plugin = _plugins().get(name)
    return None if plugin is None or plugin.dist is None else plugin.dist.name


def _check(name: str) -> None:
    if name not in names():
        raise UsageError(
            f"no method {name!r}{did_you_mean(name, names())}; "
            f"choose one of {', '.join(names())} (see tuner methods)"
        )


@cache
def _plugins() -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=_GROUP)}
    return {name: point for name, point in found.items() if name not in _builtin_names()}


def _builtin_names() -> set[str]:
    """Return the names of the methods of this package, which are modules or packages."""
    modules = {path.stem for path in MODELS.glob("[!_]*.py")}
    return modules | {path.parent.name for path in MODELS.glob("[!_]*/__init__.py")}


def _single_method(module: ModuleType) -> "type[Method]":
    from .contract import Method

    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Method)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
    ]
    assert len(found) == 1, f"{module.__name__} defines {len(found)} methods instead of one"
    return found[0]
