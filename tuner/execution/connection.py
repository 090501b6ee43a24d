"""Checks that a Ray cluster is reachable and that its machines can run trials.

Ray itself retries for minutes if nothing listens at an address, and then exits the process.
Nothing here imports ray.
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
from ..training.places import Place, place, probe

_CONNECTION_ATTEMPTS = "2"  # by Ray, of about a second each
_TIMEOUT = 3.0
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]\0]+):(?P<port>[0-9]{1,5})")


@contextmanager
def connecting(address: str | None) -> Iterator[None]:
    """Turn errors raised while Ray connects or starts into one ServiceError with a remedy.

    Without an address, Ray starts on this machine.
    """
    if address is None:
        with _starting():
            yield
        return
    check_address(address)
    stderr: list[str] = []
    try:
        with (
            captured_stderr() as stderr,
            environment(RAY_gcs_server_port_wait_time_s=_CONNECTION_ATTEMPTS),
        ):
            yield
    except Exception as error:  # Ray raises errors of many types
        raise connection_error(address, str(error), stderr="".join(stderr)) from None


def check_address(address: str) -> None:
    """Raise within 9 seconds unless a server that may be Ray answers at host:port.

    The address `auto` is left to Ray, which looks for a cluster on this machine.
    """
    if address == "auto":
        return
    host, port = check_form(address)
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except UnicodeError as error:
        raise connection_error(address, str(error)) from None
    except OSError as error:
        raise connection_error(address, error.strerror or str(error)) from None
    if os.environ.get("RAY_USE_TLS") != "1":
        _check_protocol(address)


def check_form(address: str) -> tuple[str, int]:
    """Return host and port of an address, and ("", 0) of `auto`, or raise UsageError."""
    match = _HOST_PORT.fullmatch(address)
    if address == "auto":
        return "", 0
    if match is None or not 0 < int(match["port"]) < 65536:
        shown = redact(address).rpartition("@")[2]
        raise UsageError(
            f"RAY_ADDRESS or --address {shown!r} is not valid: give the host and port of the head "
            "node, such as 10.0.0.5:6379, and run tuner on a machine of that cluster"
        )
    return match["host"].strip("[]"), int(match["port"])


Probe = tuple[bool | TunerError, str]


def probe_machine(where: str) -> Probe:
    """Return whether this machine sees a file, and its version of this package.

    Where it is given a place in an object store, it returns True or why it cannot use the place.
    """
    here = version("tuner")
    try:
        found = place(where)
        if isinstance(found, Path):
            return found.is_file(), here
        probe(found)
    except TunerError as error:
        return error, here
    return True, here


def machine_error(machine: str, probed: Probe | Exception, folder: Place) -> TunerError | None:
    """Return why a machine cannot run trials, given what `probe_machine` returned or raised.

    `folder` holds the probed file or was probed itself.
    """
    here = version("tuner")
    match probed:
        case Exception():
            reason = redact(str(probed).strip().rpartition("\n")[2])[:300]
            return ServiceError(
                f"machine {machine} cannot run a trial ({reason}): install the same Python and "
                f"tuner {here} on every machine, and check `ray status`"
            )
        case (TunerError() as error, _):
            return type(error)(f"on machine {machine}, {error}")
        case (False, _):
            return DiskError(
                f"machine {machine} cannot see the folder {folder}: put it on storage that all "
                "machines mount under the same path, and set it with --artifacts or "
                "TUNER_ARTIFACTS"
            )
        case (_, str() as there) if there != here:
            return ServiceError(
                f"machine {machine} has tuner {there} but this one has {here}: install the same "
                "version on all machines"
            )
    return None


def connection_error(address: str, reason: str, *, stderr: str = "") -> ServiceError:
    """Return the error for a Ray cluster that cannot be connected to.

    `stderr` is Ray's output during the attempt, the only place where a rejected token is reported.
    """
    reason = redact(" ".join(reason.split()))[:300].rstrip(". ")
    if "InvalidAuthToken" in stderr:
        reason = (
            "it rejects the token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH if the token "
            "is not in ~/.ray/auth_token"
        )
    return ServiceError(
        f"cannot connect to the Ray cluster at {redact(address)} ({reason}): "
        "check --address or RAY_ADDRESS, and `ray status` on its head node"
    )


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Capture what this process, including Ray's C++ code, writes to stderr.

    The yielded list contains the text after the block.
    """
    captured: list[str] = []
    original = os.dup(2)
    with tempfile.TemporaryDirectory(prefix="tuner-") as folder:
        path = Path(folder, "stderr")
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, 2)
        try:
            yield captured
        finally:
            os.dup2(original, 2)
            os.close(original)
            os.close(target)
            captured.append(path.read_text(encoding="utf-8", errors="replace"))


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray raises errors of many types, bare ones among them
        reason = redact(str(error).partition("\n")[0]) or type(error).__name__
        raise ServiceError(
            f"Ray cannot be started on this machine ({reason}): check its free memory and "
            "/tmp/ray, or connect to a cluster with --address or RAY_ADDRESS"
        ) from None


def _check_protocol(address: str) -> None:
    """Raise unless the server speaks gRPC, unlike a dashboard or a database."""
    import grpc  # type: ignore[import-untyped]

    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        with suppress(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=_TIMEOUT)
            return
    finally:
        channel.close()
    raise connection_error(address, "the server there is not Ray, whose default port is 6379")
