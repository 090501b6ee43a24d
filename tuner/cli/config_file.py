"""Defaults of the command line that a project keeps: tuner.toml, or pyproject.toml's [tool.tuner].

A key is a flag without its dashes. At the top it is meant for every command that has it, in a
table named after a command for that one alone:

    dataset = "cells.parquet"
    [search]
    trials = 300
    set = {n_components = 12, "gmvae.epochs" = 50}
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean

Flags = Mapping[str, Mapping[str, bool]]
_OWN, _SHARED = "tuner.toml", "pyproject.toml"
_REPEATED = ("set", "space")


def read(folder: Path, flags: Flags) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the defaults of every command, and the file they come from.

    `flags` says for each command which flags it has (`cpus_per_trial`, say) and whether each is a
    switch. Values are as they would be typed; a switch is true or false, a repeated flag a list.
    """
    document, source = _document(folder)
    tables = [key for key, value in document.items() if key in flags and isinstance(value, dict)]
    defaults: dict[str, dict[str, Any]] = {command: {} for command in flags}
    for key in (key for key in document if key not in tables):
        plain = _plain(key)
        homes = [command for command, own in flags.items() if plain in own]
        if not homes:
            known = {*flags, *(flag for own in flags.values() for flag in own)}
            raise _unknown(key, known, source)
        for command in homes:
            defaults[command][plain] = _typed(document[key], flags[command][plain], key, source)
    for command in tables:
        for key, value in document[command].items():
            plain, where = _plain(key), f"{source}, [{command}]"
            if plain not in flags[command]:
                raise _unknown(key, flags[command], where)
            defaults[command][plain] = _typed(value, flags[command][plain], key, where)
    return defaults, source


def _document(folder: Path) -> tuple[dict[str, Any], str]:
    for name in (_OWN, _SHARED):
        path = folder / name
        if not path.is_file():
            continue
        import tomllib

        try:
            document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            raise UsageError(f"{name} cannot be read ({error.strerror}): check it") from None
        except UnicodeDecodeError:
            raise UsageError(f"{name} is not UTF-8 text: save it as UTF-8") from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"{name} is not a usable TOML file: {error}") from None
        if name == _OWN:
            return document, name
        tools = document.get("tool")
        own = tools.get("tuner", {}) if isinstance(tools, dict) else {}
        if not isinstance(own, dict):
            raise UsageError(f"tool.tuner in {name} is {own!r}: write a table of flags")
        return own, f"[tool.tuner] in {name}"
    return {}, ""


def _typed(value: Any, is_switch: bool, key: str, where: str) -> Any:
    """Return a value as a person would type it after its flag."""
    if is_switch:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: {key} = {value!r}: write true or false")
        return value
    if isinstance(value, dict):
        return [f"{name}={_text(inner)}" for name, inner in _flat(value)]
    items = [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
    return items if key in _REPEATED else ",".join(items)


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in _flat(value))
        else:
            yield key, value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _unknown(key: str, known: Iterable[str], where: str) -> UsageError:
    near = did_you_mean(_plain(key), known)
    return UsageError(f"{where}: no flag or command is called {key!r}{near}: correct or remove it")
