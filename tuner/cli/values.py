"""Convert the values of flags."""

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.preparation import Preparation, split_names
from ..errors import ResourceError, ServiceError, UsageError, did_you_mean
from ..orchestration.locations import Locations, artifacts_at
from ..redaction import redact
from ..small_files import read_head
from ..sqlite import database_file

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..methods.config import Scalar

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?[smhd])+")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https")
_MOST_WORKERS, _LEAST_CPUS = 100_000, 0.001
_SQLITE_MAGIC = b"SQLite format 3\0"


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
    for kind in (int, float) if text.isascii() else ():
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
    if equals and not os.path.exists(text):
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
    plain = f"{plain}s" if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", plain) else plain
    parts = re.findall(r"([\d.]+)([smhd])", plain) if _DURATION.fullmatch(plain) else []
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < total < 1e9:
        raise UsageError(f"{flag} {text!r}: give a duration such as 90s, 30m, 2h or 1h30m")
    return total


def progress(mode: str, *, quiet: bool) -> str:
    """Return how progress is shown, from both flags that say so."""
    from ..orchestration.progress import check_mode

    check_mode(mode, "--progress")
    if quiet and mode not in ("auto", "quiet"):
        raise UsageError(f"--quiet and --progress {mode} contradict each other: give one of them")
    return "quiet" if quiet else mode


def locations(
    storage: str | None,
    tracking: str | None,
    artifacts: str | None,
    *,
    used: Collection[str] = ("storage", "tracking_uri"),
) -> Locations:
    """Return the given locations, and the default for each that is None; check those `used`."""
    given: Mapping[str, Any] = {
        "storage": storage,
        "tracking_uri": tracking,
        "artifacts": None if artifacts is None else artifacts_at(artifacts),
    }
    found = replace(
        Locations(), **{key: value for key, value in given.items() if value is not None}
    )
    if "storage" in used:
        _check_url("--storage or TUNER_STORAGE", found.storage, servers=())
    if "tracking_uri" in used:
        _check_url("--tracking-uri or MLFLOW_TRACKING_URI", found.tracking_uri, servers=_SERVERS)
    return found


def storage_url(storage: str | None) -> str:
    """Return where the ledger is, which is all that some commands need."""
    return locations(storage, None, None, used=("storage",)).storage


def tracking_uri(tracking: str | None) -> str:
    """Return where MLflow is, which is all that some commands need."""
    return locations(None, tracking, None, used=("tracking_uri",)).tracking_uri


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
    if workers is not None and workers > _MOST_WORKERS:
        raise UsageError(f"--workers {workers}: give at most {_MOST_WORKERS:,}")
    if 0 < cpus < _LEAST_CPUS:
        raise UsageError(f"--cpus-per-trial {cpus:g}: give at least {_LEAST_CPUS}")
    from ..execution.cluster import Resources
    from ..execution.connection import check_form

    found = Resources(
        address=address,
        workers=workers,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        trial_timeout=seconds(trial_timeout, "--trial-timeout"),
    )
    if found.address is None:
        _require_here(workers, cpus, gpus or 0.0)
    else:
        check_form(found.address)
    return found


def _require_here(workers: int | None, cpus: float, gpus: float) -> None:
    """Raise ResourceError unless this machine has what a trial needs.

    With a number of workers, trials may share cores.
    """
    cores = os.cpu_count() or 1
    if workers is None and cpus > cores:
        raise _lacking("CPU cores", f"{cpus:g}", cores, "--cpus-per-trial")
    if gpus > 0:
        import torch  # slow, and known to the trials that need it

        if gpus > torch.cuda.device_count():
            raise _lacking("GPUs", f"{gpus:g}", torch.cuda.device_count(), "--gpus-per-trial")


def _lacking(kind: str, needed: str, here: int, flag: str) -> ResourceError:
    return ResourceError(
        f"{flag} {needed}: this machine has {here} {kind}: lower {flag}, or name a cluster with "
        "--address or RAY_ADDRESS"
    )


def _check_url(origin: str, url: str, *, servers: tuple[str, ...]) -> None:
    """Raise UsageError unless a URL is that of a database, or of a server with such a scheme."""
    forms = "use sqlite:////absolute/file.db or postgresql+psycopg://host/database"
    forms += ", or the http address of a server" * bool(servers)
    scheme, mark, rest = url.partition("://")
    known = (*_DATABASES, *servers)
    if not mark or not url.isprintable() or scheme.lower().split("+")[0] not in known:
        kind = "a database URL" if not servers else "the URL of a database or server"
        raise UsageError(f"{origin}: {redact(url)!r} is not {kind}: {forms}")
    if rest.partition("/")[0].count("@") > 1:  # drivers would take the rest for the host
        raise UsageError(f"{origin}: {redact(url)!r} has two @: write %40 for one in a password")
    if scheme.lower() in servers and set(rest) & set("?#"):
        raise UsageError(f"{origin}: {redact(url)!r} has a query: give scheme://host:port/path")
    if scheme.startswith("sqlite"):
        _check_sqlite(origin, url)


def _check_sqlite(origin: str, url: str) -> None:
    """Raise unless an SQLite URL names a database file, or one that is not there yet."""
    path = database_file(url)
    if path is None:
        raise UsageError(f"{origin}: {url!r} names no file: use sqlite:////absolute/file.db")
    if not os.path.lexists(path):
        return
    try:
        head = read_head(path, len(_SQLITE_MAGIC))
    except OSError as error:
        raise UsageError(
            f"{origin}: {path} cannot be used ({error.strerror}): name the file of a database"
        ) from None
    if head and head != _SQLITE_MAGIC:
        raise ServiceError(f"{path} is not a database: correct {origin}, or remove the file")
