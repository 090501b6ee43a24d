"""Names that a shell completes: of searches, models, methods, datasets and choices.

A completion waits for its answer at every press of a key. So databases are asked for names alone,
without torch, Ray, Optuna or MLflow, and whatever is wrong with them means that there are none.
"""

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any

import typer

Completer = Callable[[typer.Context, str], list[str]]
_PREFIX = "models:/"
_PRESET = re.compile(r"^ +([\w-]+):", re.M)  # in a space file, which is not parsed without YAML
_BREAKS = frozenset(":=@")  # characters at which bash, unlike other shells, divides words
_OFFERED = "@"  # and the one that it expects to get again


def _silent(complete: Completer) -> Completer:
    """Return a completer that completes nothing where another one fails."""

    @wraps(complete)
    def safe(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return complete(ctx, incomplete)
        except Exception:  # an error would be written into the line that is being typed
            return []

    return safe


def one_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the completer of one of some words."""
    return lambda incomplete: _starting(choices, incomplete)


def progress_modes(incomplete: str) -> list[str]:
    """Complete a mode of `--progress`."""
    from ..orchestration.progress import MODES

    return _starting(MODES, incomplete)


def methods(incomplete: str) -> list[str]:
    """Complete the last name in a comma-separated list of methods, each of them once."""
    from ..methods import catalog

    head, comma, last = incomplete.rpartition(",")
    names = catalog.names() if comma else ("all", *catalog.names())
    taken = head.split(",")
    return [head + comma + name for name in _starting(names, last) if name not in taken]


def method(incomplete: str) -> list[str]:
    """Complete the name of a method."""
    from ..methods import catalog

    return _starting(catalog.names(), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Complete the name of a built-in dataset; for paths, the shell completes its files."""
    from ..data.builtin import catalog

    return _starting([entry.name for entry in catalog()], incomplete)


@_silent
def presets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a preset of the methods named before it, or of any method."""
    from ..methods import catalog

    named = set(str(ctx.params.get("method") or "").split(","))
    methods = [name for name in catalog.names() if name in named] or catalog.names()
    files = [catalog.space_file(name).read_text(encoding="utf-8") for name in methods]
    found = {name for text in files for name in _PRESET.findall(text.partition("\npresets:")[2])}
    return _starting(sorted(found), incomplete)


@_silent
def searches(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a search in the ledger."""
    from ..ledger.names import quick_names

    return _starting(quick_names(_location(ctx, "storage", "TUNER_STORAGE")), incomplete)


@_silent
def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a registered model."""
    return _starting(_registered(ctx), incomplete)


@_silent
def model_uris(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete models:/NAME@ALIAS and models:/NAME/VERSION; files are left to the shell."""
    uris = [
        f"{_PREFIX}{name}{mark}"
        for name, (aliases, versions) in _registered(ctx).items()
        for mark in (*(f"@{alias}" for alias in aliases), *(f"/{n}" for n in versions))
    ]
    return _starting(uris, incomplete)


@_silent
def versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a version of the model that is named before it."""
    found = _registered(ctx).get(str(ctx.params.get("name")))
    return [] if found is None else _starting(map(str, found[1]), incomplete)


def bash_words(words: Sequence[str], current: int) -> tuple[list[str], int, str]:
    """Return the words that bash has divided as they were typed, and the index of the current one.

    The third value is the part of the current word that bash leaves as it is, "" for all of it.
    """
    joined: list[str] = []
    position, kept, glued = 0, "", False
    for index, word in enumerate([*words, ""] if current == len(words) else words):
        is_break = bool(word) and set(word) <= _BREAKS
        if joined and (glued or (is_break and index > 1)):
            if index == current:
                kept = joined[-1] + word * is_break
            joined[-1] += word
        else:
            joined.append(word)
        glued = is_break and index > 1
        if index == current:
            position = len(joined) - 1
    return joined, position, kept.removesuffix(_OFFERED)


def run_for_bash(run: Callable[[], Any]) -> Any:
    """Run a completion for bash, with words as they were typed, and print what bash inserts."""
    raw = _divided(os.environ.get("COMP_WORDS", ""))
    given = os.environ.get("COMP_CWORD", "")
    current = min(int(given), len(raw)) if given.isdigit() else len(raw)
    words, position, kept = bash_words(raw, current)
    os.environ.update(COMP_WORDS=" ".join(words), COMP_CWORD=str(position))
    written = StringIO()
    try:
        with redirect_stdout(written):
            return run()
    finally:
        for line in written.getvalue().splitlines():
            print(line.removeprefix(kept))


def _divided(text: str) -> list[str]:
    """Return words with the quotes that are around them, the last of which may be open."""
    words = shlex.shlex(text, posix=False)
    words.whitespace_split, words.commenters = True, ""
    found: list[str] = []
    try:
        found.extend(words)
    except ValueError:
        found.append(words.token)
    return found


def _registered(ctx: typer.Context) -> dict[str, tuple[list[str], list[int]]]:
    from ..registry.names import quick_models

    return quick_models(_location(ctx, "tracking_uri", "MLFLOW_TRACKING_URI"))


def _location(ctx: typer.Context, flag: str, variable: str) -> str:
    """Return where a command would look: by its flag, a variable, a file, or in the folder."""
    given = ctx.params.get("tracking" if flag == "tracking_uri" else flag)
    if given:
        return str(given)
    if found := os.environ.get(variable):
        return found
    name = "tuner.db" if flag == "storage" else "mlflow.db"
    return _from_file(ctx, flag) or f"sqlite:///{Path.cwd() / name}"


def _from_file(ctx: typer.Context, flag: str) -> str | None:
    from . import config_file

    root = ctx.find_root()
    command = str(ctx.info_name)
    parameters = config_file.parameters_of(root.command.commands)  # type: ignore[attr-defined]
    found, _ = config_file.read(Path.cwd(), config_file.switches_of(parameters))
    value = found.get(command, {}).get(flag)
    return None if value is None else str(value)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
