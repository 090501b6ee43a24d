"""Convert the values of flags."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.preparation import Preparation, split_names
from ..errors import UsageError, did_you_mean
from ..orchestration.locations import Locations

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..methods.config import Scalar

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?[smhd])+")


def methods(text: str) -> tuple[str, ...]:
    """Return the method names in a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def fixed(pairs: Sequence[str] | None) -> dict[str, "Scalar"]:
    """Return the settings given as KEY=VALUE."""
    settings: dict[str, Scalar] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {pair!r}: write KEY=VALUE, as in --set n_components=10")
        if key.strip() in settings:
            raise UsageError(f"--set {key.strip()} is given twice: give it once")
        settings[key.strip()] = scalar(value.strip())
    return settings


def preparation(
    columns: str | None,
    drop: str | None,
    categories: str | None,
    ordinal: Sequence[str] | None,
    missing: str,
    missing_value: Sequence[str] | None,
    scale: str,
    layer: str | None,
    header: bool | None,
    strict: bool,
) -> Preparation:
    """Return how the data are to be prepared, from the flags that say so."""
    orders: dict[str, tuple[str, ...]] = {}
    for text in ordinal or ():
        name, equals, order = text.partition("=")
        if not equals or name in orders:
            raise UsageError(f"--ordinal {text!r}: write COLUMN=LOWEST,…,HIGHEST once per column")
        orders[name] = split_names(order)
    return Preparation(
        columns=split_names(columns or ""),
        drop=split_names(drop or ""),
        categories=split_names(categories or ""),
        ordinal=orders,
        missing=missing,
        missing_values=tuple(missing_value or ()),
        scale=scale,
        layer=layer,
        header=header,
        strict=strict,
    )


def scalar(text: str) -> "Scalar":
    """Return a value as YAML would read it, except that 1e-3 is a number; quotes make it text."""
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
    """Return the search spaces given as [METHOD=]FILE, by method; `names` are those searched."""
    documents: dict[str, Any] = {}
    if not given:
        return documents
    from ..methods import catalog
    from ..study.space import read_space

    searched = catalog.names() if tuple(names) == ("all",) else tuple(names)
    for text in given:
        method, file = _method_and_file(text, searched)
        if method in documents:
            raise UsageError(f"--space names two files for {method}: give one")
        config = catalog.method(method).config_type
        documents[method] = read_space(Path(file), config).to_mapping()
    return documents


def _method_and_file(text: str, searched: tuple[str, ...]) -> tuple[str, str]:
    head, equals, file = text.partition("=")
    if equals and head in searched:
        return head, file
    if equals and not Path(text).exists():
        raise UsageError(
            f"--space {text!r}: {head!r} is not a method of this search"
            f"{did_you_mean(head, searched)}; choose from {', '.join(searched)}"
        )
    if len(searched) != 1:
        raise UsageError(f"--space {text!r}: name its method, as in {searched[0]}={text}")
    return searched[0], text


def seconds(text: str | None, flag: str = "--time-budget") -> float | None:
    """Return a duration such as 90s, 30m, 2h or 1h30m in seconds; a plain number is seconds."""
    if text is None:
        return None
    plain = text.strip().lower()
    plain = f"{plain}s" if re.fullmatch(r"\d+(?:\.\d+)?", plain) else plain
    parts = re.findall(r"([\d.]+)([smhd])", plain) if _DURATION.fullmatch(plain) else []
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < total < 1e9:
        raise UsageError(f"{flag} {text!r}: give a duration such as 90s, 30m, 2h or 1h30m")
    return total


def locations(storage: str | None, tracking: str | None, artifacts: str | None) -> Locations:
    """Return the given locations, and the default for each that is None."""
    given: Mapping[str, Any] = {
        "storage": storage,
        "tracking_uri": tracking,
        "artifacts": None if artifacts is None else _folder(artifacts),
    }
    return replace(
        Locations(), **{key: value for key, value in given.items() if value is not None}
    )


def resources(
    address: str | None,
    workers: int | None,
    cpus: float,
    gpus: float | None,
    trial_timeout: str | None,
) -> "Resources":
    """Return the cluster and the resources of each trial."""
    for flag, number in (("--cpus-per-trial", cpus), ("--gpus-per-trial", gpus)):
        if number is not None and not math.isfinite(number):
            raise UsageError(f"{flag} {number}: give a number such as 1 or 0.5")
    from ..execution.cluster import Resources

    return Resources(
        address=address,
        workers=workers,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        trial_timeout=seconds(trial_timeout, "--trial-timeout"),
    )


def _folder(text: str) -> Path:
    if "://" in text or not text.isprintable():
        raise UsageError(
            f"--artifacts {text!r} is not a folder: choose one that all machines can access"
        )
    return Path(text).expanduser().resolve()
