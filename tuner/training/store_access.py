"""Calls to object stores through fsspec: connections, time limits, retries and errors.

Credentials come from the standard variables and files of each store, which its own library reads
on the machine that calls; nothing here passes them on.
"""

import os
import re
import time
from functools import cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from ..errors import DiskError, FilesError, StoreError, UsageError
from ..redaction import redact

PATIENCE = 60.0
"""Seconds for which calls are repeated while a store does not answer."""

PROBE_PATIENCE = 8.0
PROBE = ".probe-"
"""How the names of files begin that only try out a place."""

_CALL_SECONDS = 20.0  # for one call, besides the time that its bytes take
_LEAST_SECONDS = 0.5
_BYTES_PER_SECOND = 1e6

_AWS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL"
_GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
_AZURE = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
_KINDS = {  # by scheme: the package, and the variables that it reads
    "s3": ("s3fs", _AWS),
    "gs": ("gcsfs", _GOOGLE),
    "abfs": ("adlfs", _AZURE),
    "abfss": ("adlfs", _AZURE),
}
SCHEMES = frozenset(_KINDS)
_OPTIONS = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 4,
            "read_timeout": _CALL_SECONDS,
            "retries": {"total_max_attempts": 1},
        },
        "max_concurrency": 1,  # with more, each read asks for the size first
    }
}
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_url(url: str, *, flag: str) -> None:
    """Raise UsageError unless a URL names a place in a store that this installation can use."""
    parts, shown = urlsplit(url), redact(url)
    if parts.scheme not in _KINDS:
        schemes = ", ".join(f"{scheme}://" for scheme in sorted({*_KINDS, "file"}))
        raise UsageError(f"{flag} {shown!r} is not a folder: give a path, or a URL with {schemes}")
    package, variables = _KINDS[parts.scheme]
    container, at, account = parts.netloc.rpartition("@")
    is_azure = package == "adlfs"  # abfs://container@account.dfs.core.windows.net/folder
    if (at and not is_azure) or ":" in container or parts.query or parts.fragment:
        raise UsageError(
            f"{flag} {shown!r} holds more than a place: set credentials by {variables}, and "
            f"give only {parts.scheme}://BUCKET/FOLDER"
        )
    if not _NAME.fullmatch(account) or not url.isprintable() or _has_dots(parts.path):
        raise UsageError(
            f"{flag} {shown!r} is not a place in a store: give {parts.scheme}://BUCKET/FOLDER"
        )
    if find_spec(package) is None:
        raise UsageError(
            f"{flag} {shown!r} needs the package {package}, which is not installed: "
            f"pip install {package}"
        )


def called(
    url: str, method: str, *arguments: Any, size: int, patience: float, **options: Any
) -> Any:
    """Return what a method of the store's file system returns; `size` bytes are transferred.

    Only an answer of the store itself ends the attempts early: that something is missing
    (FileNotFoundError) or refused (DiskError). Every other error may pass, whatever the library's
    name for it, until `patience` seconds are over (StoreError).
    """
    from tenacity import RetryError as GaveUpError
    from tenacity import Retrying, retry_if_not_exception_type, stop_before_delay, wait_exponential

    attempts = Retrying(
        retry=retry_if_not_exception_type((FileNotFoundError, FilesError)),
        wait=wait_exponential(multiplier=0.1, max=4.0),
        stop=stop_before_delay(patience),
    )
    _connection(url)  # its imports do not count
    began = time.monotonic()
    try:
        for attempt in attempts:
            left = max(_LEAST_SECONDS, patience - (time.monotonic() - began))
            limit = min(_CALL_SECONDS, left) + size / _BYTES_PER_SECOND
            with attempt:
                return _called_once(url, method, *arguments, timeout=limit, **options)
    except GaveUpError as error:
        seconds = time.monotonic() - began
        raise _unreachable(url, seconds, error.last_attempt.exception()) from None
    raise AssertionError("an attempt either returns or raises")


def path_in_store(url: str) -> str:
    """Return the path by which the file system of a store lists what is at a URL."""
    return str(_connection(url)._strip_protocol(url))


def refusal(url: str, reason: str) -> DiskError:
    """Return the error of a store that refuses a call."""
    return DiskError(
        f"{_shown(url)} cannot be used ({reason}): check --artifacts or TUNER_ARTIFACTS, and set "
        f"{_variables(url)}"
    )


def _called_once(url: str, method: str, *arguments: Any, timeout: float, **options: Any) -> Any:
    from fsspec.asyn import sync

    try:
        system = _connection(url)
        return sync(system.loop, getattr(system, method), *arguments, timeout=timeout, **options)
    except FileNotFoundError:
        raise
    except Exception as error:
        if _is_refusal(error):
            raise refusal(url, _reason(error)) from None
        raise


def _connection(url: str) -> Any:
    """Return the file system of a store, or raise DiskError if its settings are of no use."""
    parts = urlsplit(url)
    try:
        return _file_system(f"{parts.scheme}://{parts.netloc}", os.getpid())
    except Exception as error:  # of many types, such as an unknown profile
        raise refusal(url, _reason(error)) from None


@cache
def _file_system(root: str, _: int) -> Any:
    """Return a connection to a store for one process, without fsspec's cache of listings."""
    from fsspec.asyn import sync
    from fsspec.core import url_to_fs

    options = _OPTIONS.get(urlsplit(root).scheme, {})
    system, _path = url_to_fs(root, use_listings_cache=False, skip_instance_cache=True, **options)
    system.retries = 1  # s3fs would retry by itself, without a limit of time
    if hasattr(system, "set_session"):
        sync(system.loop, system.set_session)
    return system


def _is_refusal(error: Exception) -> bool:
    """Return whether an error says that credentials are missing, wrong or do not suffice."""
    name = type(error).__name__
    return isinstance(error, PermissionError) or "Credential" in name or "Authenti" in name


def _unreachable(url: str, seconds: float, error: BaseException | None) -> StoreError:
    return StoreError(
        f"the object store of {_shown(url)} has not answered for {seconds:.0f} s "
        f"({_reason(error)}): check --artifacts or TUNER_ARTIFACTS, the network, and "
        f"{_variables(url)}"
    )


def _reason(error: BaseException | None) -> str:
    """Return the first line of an error without secrets, or its type where it says nothing."""
    text = redact(" ".join(str(error).split()))[:300].rstrip(". ") or type(error).__name__
    for secret in filter(None, map(os.environ.get, _SECRETS)):
        text = text.replace(secret, "***")
    return text


def _shown(url: str) -> str:
    return redact(url.partition(f"/{PROBE}")[0])


def _variables(url: str) -> str:
    return _KINDS[urlsplit(url).scheme][1]


def _has_dots(path: str) -> bool:
    """Return whether a path has parts that would leave its root or be dropped."""
    return any(part in {".", ".."} for part in path.split("/"))
