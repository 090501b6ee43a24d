"""The reference of the command line as Markdown, from the same declarations as `--help`."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from tuner.cli.app import app

_TYPES = {"<bool>", "<int>", "<str>", " "}


def reference() -> str:
    """Return a section for every command, in the order of `tuner --help`."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n\n".join(_section(name, command) for name, command in commands.items())


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = [p.metavar if p.required else f"[{p.metavar}]" for p in arguments]
    usage = " ".join(["tuner", name, "[OPTIONS]", *words])
    parts = [f"## tuner {name}", _marked(command.help), f"```text\n{usage}\n```"]
    if arguments:
        parts.append(_table("argument", map(_argument, arguments)))
    for panel in dict.fromkeys(map(_panel, options)):
        members = [option for option in options if _panel(option) == panel]
        parts.append(_table(panel.lower(), map(_option, members)))
    return "\n\n".join(parts)


def _panel(option: Any) -> str:
    return str(option.rich_help_panel or "Options")


def _table(heading: str, rows: Iterator[tuple[str, str, str]]) -> str:
    lines = [(heading, "default", "meaning"), ("---", "---", "---"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _argument(argument: Any) -> tuple[str, str, str]:
    return f"`{argument.metavar}`", _default(argument), _marked(argument.help)


def _option(option: Any) -> tuple[str, str, str]:
    names = [*option.opts, *option.secondary_opts]
    metavar = "" if option.is_flag or option.metavar in _TYPES else f" {option.metavar}"
    shown = ", ".join(f"`{name}`" for name in names)
    shown += f" `{metavar.strip()}`" if metavar else ""
    variable = f" Variable: `{option.envvar}`." if option.envvar else ""
    return shown, _default(option), _marked(option.help) + variable


def _default(parameter: Any) -> str:
    shown, value = parameter.show_default, parameter.default
    if isinstance(shown, str):
        return _marked(shown)
    if not shown or value is None or isinstance(value, bool) or callable(value):
        return ""
    return f"`{value}`"


def _marked(text: str) -> str:
    """Return help with its flags as code."""
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)(?![\w`-])", r"`\1`", text)
