import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from importlib.metadata import version

import grpc
import pytest

from tests.tuner.mlflow_store import free_port
from tuner.errors import DiskError, ServiceError, UsageError
from tuner.execution import connection
from tuner.execution.connection import (
    captured_stderr,
    check_address,
    connection_error,
    machine_error,
    probe_machine,
)


def test_a_closed_port_is_named_at_once():
    began, address = time.monotonic(), f"127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match="Connection refused") as caught:
        check_address(address)
    assert time.monotonic() - began < 5
    assert address in str(caught.value)
    assert "RAY_ADDRESS" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_host_without_an_address_is_named():
    with pytest.raises(ServiceError, match=r"nosuch\.invalid:6379"):
        check_address("nosuch.invalid:6379")


@pytest.fixture
def listener(monkeypatch):
    """A server that takes connections and says nothing that Ray would say."""
    monkeypatch.setattr(connection, "_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def take():
            try:
                while True:
                    client, _ = server.accept()
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    kept.append(client)
            except OSError:
                return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for client in kept:
            client.close()


def test_a_server_of_another_kind_is_not_waited_for(listener):
    with pytest.raises(ServiceError, match="is not Ray"):
        check_address(f"127.0.0.1:{listener}")


def test_a_cluster_with_certificates_of_its_own_is_left_to_ray(listener, monkeypatch):
    monkeypatch.setenv("RAY_USE_TLS", "1")
    check_address(f"127.0.0.1:{listener}")


def test_a_server_that_speaks_as_ray_does_passes():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    check_address(f"127.0.0.1:{port}")
    server.stop(None).wait()


def test_auto_is_left_to_ray():
    check_address("auto")


@pytest.mark.parametrize(
    "address",
    [
        "ray://127.0.0.1:10001",
        "http://user:c4n4ry@127.0.0.1:8265",
        "head",
        "head:",
        ":6379",
        "head:0",
        "head:65536",
        "head:6379/path",
        "two words:6379",
        "user:c4n4ry@head:6379",
        "::1:6379",
    ],
)
def test_what_is_no_host_and_port_is_refused(address):
    with pytest.raises(UsageError, match=r"RAY_ADDRESS.*10\.0\.0\.5:6379") as caught:
        check_address(address)
    assert "c4n4ry" not in str(caught.value)


def test_an_address_of_the_sixth_version_is_understood():
    with pytest.raises(ServiceError, match="cannot connect to the Ray cluster"):
        check_address(f"[::1]:{free_port()}")


def test_a_refused_token_is_told_from_what_ray_wrote():
    sentence = str(connection_error("head:6379", "Failed", stderr="… InvalidAuthToken: missing …"))
    assert "RAY_AUTH_TOKEN_PATH" in sentence
    assert "Failed" not in sentence


def test_a_long_reason_is_one_line_and_cut():
    sentence = str(connection_error("head:6379", "Version mismatch:\n  Ray: 2.9\n" + 1000 * "x"))
    assert "\n" not in sentence
    assert "Version mismatch: Ray: 2.9" in sentence
    assert len(sentence) < 500


def test_a_machine_that_sees_the_file_and_has_the_version_is_equal(tmp_path):
    file = tmp_path / "seen"
    assert probe_machine(str(file)) == (False, version("tuner"))
    file.touch()
    assert machine_error("node", probe_machine(str(file)), tmp_path) is None


@pytest.mark.parametrize(
    ("seen", "kind", "words"),
    [
        ((False, version("tuner")), DiskError, "cannot see the folder.*TUNER_ARTIFACTS"),
        ((True, "0.0.1"), ServiceError, r"has tuner 0\.0\.1 but this one has"),
        (RuntimeError("Traceback\n  somewhere\nNo module named 'tuner'"), ServiceError, "No mod"),
    ],
)
def test_what_keeps_a_machine_from_running_trials_is_named(seen, kind, words, tmp_path):
    wrong = machine_error("10.0.0.6", seen, tmp_path)
    assert isinstance(wrong, kind)
    assert re.search(words, str(wrong))
    assert "10.0.0.6" in str(wrong)
    assert "\n" not in str(wrong)


def test_what_is_written_below_python_is_overheard(capfd):
    with captured_stderr() as captured:
        os.write(2, b"from C++\n")
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'child')"], check=True)
    os.write(2, b"after\n")
    assert "".join(captured) == "from C++\nchild"
    assert capfd.readouterr().err == "after\n"


def test_the_error_stream_comes_back_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), captured_stderr():
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
