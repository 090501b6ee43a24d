"""S3 on this machine: moto's server in a process of its own, and a proxy that slows it down."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3

KEY, SECRET = "AKIACANARY0000000001", "canary/secret+key0000000000000000000000000"
PROGRAM = """
import sys
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import main
s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(sys.argv[2], "us-east-1")
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


@dataclass
class Store:
    """An S3 server with a bucket, which can be stopped and started again on the same port.

    What it holds is lost when it stops.
    """

    port: int = field(default_factory=lambda: free_port())
    bucket: str = field(default_factory=lambda: f"tuner-{uuid4().hex[:8]}")
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/files"

    @property
    def variables(self) -> dict[str, str]:
        """The standard variables that lead to it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.port), self.bucket],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not self.answers():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        with suppress(OSError):
            urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=2).close()
            return True
        return False

    def require_keys(self) -> None:
        """Refuse every request that is not signed with the key of a known user."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=b"0")
        request.add_header("Content-Type", "text/plain")
        urllib.request.urlopen(request, timeout=5).close()

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def names(self) -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def damage(self, key: str, content: bytes | None) -> None:
        """Replace an object with other content, or delete it."""
        if content is None:
            self.client().delete_object(Bucket=self.bucket, Key=key)
        else:
            self.client().put_object(Bucket=self.bucket, Key=key, Body=content)


@contextmanager
def running_store() -> Iterator[Store]:
    store = Store()
    store.start()
    try:
        yield store
    finally:
        store.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def slow_proxy(port: int, seconds: float) -> Iterator[int]:
    """Forward connections to a port; every answer is late by some seconds. Yield its own port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, port, seconds), daemon=True).start()
        yield int(server.getsockname()[1])
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, port: int, seconds: float) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_forward, args=(client, port, seconds), daemon=True).start()


def _forward(client: socket.socket, port: int, seconds: float) -> None:
    with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as upstream:
        back = threading.Thread(target=_pump, args=(upstream, client, seconds), daemon=True)
        back.start()
        _pump(client, upstream, 0.0)
        back.join()


def _pump(source: socket.socket, sink: socket.socket, late: float) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            time.sleep(late)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def set_variables(store: Store, monkeypatch: Any, **changes: str) -> None:
    """Point this process, and only the standard variables of it, to a store."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**store.variables, **changes}.items():
        monkeypatch.setenv(name, value)
    from tuner.training import store_access

    store_access._file_system.cache_clear()
