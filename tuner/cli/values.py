"""How the values of flags are read."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, did_you_mean
from ..orchestration.locations import Locations

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..methods.config import Scalar

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?[smhd])+")


def methods(text: str) -> tuple[str, ...]:
    """Return the method names of `a,b,c`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def fixed(pairs: Sequence[str] | None) -> dict[str, "Scalar"]:
    """Return the settings of KEY=VALUE texts."""
    settings: dict[str, Scalar] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {pair!r}: write KEY=VALUE, as in --set n_components=10")
        if key.strip() in settings:
            raise UsageError(f"--set {key.strip()} is given twice: give it once")
        settings[key.strip()] = scalar(value.strip())
    return settings


def scalar(text: str) -> "Scalar":
    """Return a value as YAML would read it, but 1e-3 is a number; quotes make it text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


def spaces(given: Sequence[str] | None, names: Sequence[str]) -> dict[str, Any]:
    """Return the space documents of [METHOD=]FILE texts for the named methods."""
    documents: dict[str, Any] = {}
    if not given:
        return documents
    from ..methods import catalog
    from ..study.space import read_space

    named = catalog.names() if tuple(names) == ("all",) else tuple(names)
    for text in given:
        method, file = _owner(text, named)
        if method in documents:
            raise UsageError(f"--space gives {method} two files: give one")
        config = catalog.method(method).config_type
        documents[method] = read_space(Path(file), config).to_mapping()
    return documents


def _owner(text: str, named: tuple[str, ...]) -> tuple[str, str]:
    """Return the method that a space is for, and the file."""
    head, equals, file = text.partition("=")
    if equals and head in named:
        return head, file
    if equals and not Path(text).exists():
        raise UsageError(
            f"--space {text!r}: {head!r} is not among the methods of this search"
            f"{did_you_mean(head, named)}; they are {', '.join(named)}"
        )
    if len(named) != 1:
        raise UsageError(f"--space {text!r}: say whose space it is, as in {named[0]}={text}")
    return named[0], text


def seconds(text: str | None) -> float | None:
    """Return a duration such as 90s, 30m, 2h, 1h30m in seconds; a plain number is seconds."""
    if text is None:
        return None
    plain = text.strip().lower()
    plain = f"{plain}s" if re.fullmatch(r"\d+(?:\.\d+)?", plain) else plain
    parts = re.findall(r"([\d.]+)([smhd])", plain) if _DURATION.fullmatch(plain) else []
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < total < 1e9:
        raise UsageError(f"--time-budget {text!r}: give a time such as 90s, 30m, 2h or 1h30m")
    return total


def locations(storage: str | None, tracking: str | None, artifacts: str | None) -> Locations:
    """Return where things are kept: what is given, else the default."""
    given: Mapping[str, Any] = {
        "storage": storage,
        "tracking_uri": tracking,
        "artifacts": None if artifacts is None else _folder(artifacts),
    }
    return replace(
        Locations(), **{key: value for key, value in given.items() if value is not None}
    )


def resources(
    address: str | None, workers: int | None, cpus: float, gpus: float | None
) -> "Resources":
    """Return where trials run and what each may use."""
    for flag, number in (("--cpus-per-trial", cpus), ("--gpus-per-trial", gpus)):
        if number is not None and not math.isfinite(number):
            raise UsageError(f"{flag} {number}: give a number such as 1 or 0.5")
    from ..execution.cluster import Resources

    return Resources(address=address, workers=workers, cpus_per_trial=cpus, gpus_per_trial=gpus)


def _folder(text: str) -> Path:
    if "://" in text or not text.isprintable():
        raise UsageError(f"--artifacts {text!r} is no folder: give one that all machines see")
    return Path(text).expanduser().resolve()
