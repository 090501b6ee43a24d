"""The way to a Ray cluster that exists: asked with little patience, before Ray asks with much.

Ray waits minutes at an address where nothing answers, and ends the process in the end.
"""

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from ..environment import environment
from ..errors import DiskError, ServiceError, TunerError, UsageError
from ..redaction import redact

_ATTEMPTS = "2"  # of about a second each, in which Ray may be refused
_ANSWER = 3.0
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})")


@contextmanager
def connecting(address: str | None) -> Iterator[None]:
    """Say in a sentence why Ray, in the block, cannot be joined at an address, or started here."""
    if address is None:
        with _starting():
            yield
        return
    check_address(address)
    heard: list[str] = []
    try:
        with captured_stderr() as heard, environment(RAY_gcs_server_port_wait_time_s=_ATTEMPTS):
            yield
    except Exception as error:  # whatever it is, Ray has not been joined
        raise cannot_join(address, str(error), heard="".join(heard)) from None


def check_address(address: str) -> None:
    """Raise within 9 seconds unless something that may be a Ray cluster answers at host:port.

    The address `auto` is left to Ray, which looks for a cluster on this machine.
    """
    if address == "auto":
        return
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        shown = redact(address).rpartition("@")[2]
        raise UsageError(
            f"RAY_ADDRESS or --address {shown!r} cannot be used: write the host and "
            "port of the cluster's head, such as 10.0.0.5:6379, on a machine that is part of it"
        )
    try:
        host = match["host"].strip("[]")
        socket.create_connection((host, int(match["port"])), timeout=_ANSWER).close()
    except OSError as error:
        raise cannot_join(address, error.strerror or str(error)) from None
    if os.environ.get("RAY_USE_TLS") != "1":
        _check_protocol(address)


def probe_machine(file: str) -> tuple[bool, str]:
    """Return whether the machine that runs this sees a file, and its version of this package."""
    return Path(file).is_file(), version("tuner")


def machine_fault(
    machine: str, seen: tuple[bool, str] | Exception, folder: Path
) -> TunerError | None:
    """Return what keeps a machine from running trials, by what `witness` returned or raised."""
    here = version("tuner")
    match seen:
        case Exception():
            reason = redact(str(seen).strip().rpartition("\n")[2])[:300]
            return ServiceError(
                f"the machine {machine} cannot run a trial ({reason}): install the same Python "
                f"and tuner {here} on every machine, and see `ray status`"
            )
        case (False, _):
            return DiskError(
                f"the machine {machine} does not see the folder {folder}: put it on storage that "
                "all machines share under one path, and name it with --artifacts or "
                "TUNER_ARTIFACTS"
            )
        case (_, str() as there) if there != here:
            return ServiceError(
                f"the machine {machine} has tuner {there} and this one {here}: install "
                "one version on all"
            )
    return None


def cannot_join(address: str, reason: str, *, heard: str = "") -> ServiceError:
    """Return the sentence for a Ray cluster that cannot be joined.

    `heard` is what Ray wrote meanwhile: it alone tells of a refused token.
    """
    reason = redact(" ".join(reason.split()))[:300].rstrip(". ")
    if "InvalidAuthToken" in heard:
        reason = "it refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
    return ServiceError(
        f"the Ray cluster {redact(address)} cannot be joined ({reason}): "
        "check --address or RAY_ADDRESS, and `ray status` there"
    )


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Keep what this process writes to its error stream, Ray's C++ included, off the terminal.

    The list holds the text once the block has ended.
    """
    heard: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryDirectory(prefix="tuner-") as folder:
        path = Path(folder, "stderr")
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, 2)
        try:
            yield heard
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(target)
            heard.append(path.read_text(encoding="utf-8", errors="replace"))


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except (ConnectionError, RuntimeError, TimeoutError, ValueError, OSError) as error:
        reason = redact(str(error).partition("\n")[0]) or type(error).__name__
        raise ServiceError(
            f"Ray cannot be started on this machine ({reason}): look at its free memory and at "
            "/tmp/ray, or join a cluster with --address or RAY_ADDRESS"
        ) from None


def _check_protocol(address: str) -> None:
    """Raise unless a server at an address speaks gRPC: a dashboard's or a database's does not."""
    import grpc  # type: ignore[import-untyped]

    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        with suppress(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=_ANSWER)
            return
    finally:
        channel.close()
    raise cannot_join(address, "what answers there is not Ray, whose port is 6379 by default")
