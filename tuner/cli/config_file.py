"""Defaults for the command line from tuner.toml, or from [tool.tuner] in pyproject.toml.

A key is the name of a flag without its dashes. A key at the top level applies to every command
with that flag, a key in the table of a command to that command only:

    dataset = "cells.parquet"
    [search]
    trials = 300
    set = {n_components = 12, "gmvae.epochs" = 50}
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean
from ..small_files import read_small

Flags = Mapping[str, Mapping[str, bool]]
_TUNER, _PYPROJECT = "tuner.toml", "pyproject.toml"
_MAX_BYTES = 1 << 20
_REPEATABLE = ("set", "space", "ordinal", "missing_value")


def parameters_of(commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameter behind every flag of every command, as `read` names flags."""
    return {
        name: {
            option.removeprefix("--").replace("-", "_"): parameter
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--")
        }
        for name, command in commands.items()
    }


def switches_of(parameters: Mapping[str, Mapping[str, Any]]) -> Flags:
    """Return which of these flags are switches."""
    return {
        name: {flag: bool(getattr(p, "is_flag", False)) for flag, p in own.items()}
        for name, own in parameters.items()
    }


def read(folder: Path, flags: Flags) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the defaults of every command, and the file they come from.

    `flags` maps each command to its flags (such as `cpus_per_trial`) and whether each of them is a
    switch. Values are returned as typed on the command line, a switch as a bool and a repeatable
    flag as a list.
    """
    document, source = _document(folder)
    tables = {k: v for k, v in document.items() if k in flags and isinstance(v, dict)}
    defaults: dict[str, dict[str, Any]] = {command: {} for command in flags}
    for key in (key for key in document if key not in tables):
        flag = _flag(key)
        commands = [command for command, own in flags.items() if flag in own]
        if not commands:
            known = {*flags, *(flag for own in flags.values() for flag in own)}
            raise _unknown(key, known, source)
        for command in commands:
            defaults[command][flag] = _as_typed(document[key], flags[command][flag], key, source)
    for command, table in tables.items():
        where = f"{source}, [{command}]"
        for key, value in table.items():
            flag = _flag(key)
            if flag not in flags[command]:
                raise _unknown(key, flags[command], where)
            defaults[command][flag] = _as_typed(value, flags[command][flag], key, where)
    return defaults, source


def _document(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the table of defaults and its source; tuner.toml takes precedence."""
    for name in (_TUNER, _PYPROJECT):
        path = folder / name
        if not os.path.lexists(path):
            continue
        document = _parse(path)
        if name == _TUNER:
            return document, name
        tools = document.get("tool")
        own = tools.get("tuner", {}) if isinstance(tools, dict) else {}
        if not isinstance(own, dict):
            raise UsageError(f"tool.tuner in {name} is {own!r}: write a table of options")
        return own, f"[tool.tuner] in {name}"
    return {}, ""


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(read_small(path, _MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be read ({error.strerror}): correct or remove it"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is not UTF-8 text: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}") from None


def _as_typed(value: Any, is_switch: bool, key: str, where: str) -> Any:
    """Return a value as it would be typed after its flag."""
    if is_switch:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: {key} = {value!r}: write true or false")
        return value
    if isinstance(value, dict):
        if key not in _REPEATABLE:
            raise UsageError(f"{where}: {key} = {value!r}: write one value, not a table")
        return [f"{name}={_text(inner)}" for name, inner in _flattened(value)]
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in items):
        raise UsageError(f"{where}: {key} = {value!r}: write a list of texts or numbers")
    return list(map(_text, items)) if _flag(key) in _REPEATABLE else ",".join(map(_text, items))


def _flattened(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in _flattened(value))
        else:
            yield key, value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(key: str) -> str:
    return key.replace("-", "_")


def _unknown(key: str, known: Iterable[str], where: str) -> UsageError:
    hint = did_you_mean(_flag(key), known) or ": correct or remove it"
    return UsageError(f"{where}: no such option or command {key!r}{hint}")
