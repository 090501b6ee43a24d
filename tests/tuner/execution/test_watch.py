"""What the driver does when machines or the head of the cluster are lost, without Ray."""

import socket
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tuner.errors import ResourceError
from tuner.execution.watch import CapacityWatch, is_listening, lost_head

_SMALL: Mapping[str, float] = {"CPU": 1.0}
_LARGE: Mapping[str, float] = {"CPU": 2.0, "GPU": 1.0}


class Scene:
    """Machines that come and go at a time of our own."""

    def __init__(self, *machines: Mapping[str, float]) -> None:
        self.now, self.machines, self.said = 0.0, list(machines), list[str]()
        needs = {"CPU": 2.0, "GPU": 0.25}
        self.watch = CapacityWatch(
            lambda: self.machines, needs, self.said.append, patience=60.0, clock=lambda: self.now
        )

    def at(self, now: float, *machines: Mapping[str, float]) -> None:
        self.now, self.machines = now, list(machines)
        self.watch.check("cells")


def test_a_cluster_that_suffices_is_not_mentioned() -> None:
    scene = Scene(_LARGE)
    for now in range(0, 1000, 7):
        scene.at(now, _SMALL, _LARGE)
    assert scene.said == []


def test_a_shortage_is_told_once_and_ends_the_search_after_a_minute() -> None:
    scene = Scene(_LARGE)
    for now in (10, 30, 50, 69):
        scene.at(now, _SMALL, _SMALL)
    assert len(scene.said) == 1
    assert "2 CPU and 0.25 GPU: waiting 60 s" in scene.said[0]
    with pytest.raises(ResourceError, match="`tuner resume cells`"):
        scene.at(75, _SMALL)


def test_a_machine_that_comes_in_time_gives_another_minute() -> None:
    scene = Scene(_LARGE)
    scene.at(10)
    scene.at(60, _LARGE)
    scene.at(70)
    scene.at(125)
    assert [said.partition(":")[0][:14] for said in scene.said] == [
        "no machine of ",
        "the cluster ca",
        "no machine of ",
    ]


def test_a_head_is_there_while_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert is_listening(address)
    assert not is_listening(address)
    assert "`tuner resume cells`" in str(lost_head(address, "cells"))


def test_a_driver_whose_head_is_gone_ends_whatever_it_waits_for() -> None:
    code = (
        "import threading\n"
        "from tuner.execution import watch\n"
        "watch._PROBE_PAUSE = 0.01\n"
        "seen = watch.HeadWatch('127.0.0.1:1')\n"
        "seen.search = 'cells'\n"
        "seen.start()\n"
        "lock = threading.Lock(); lock.acquire(); lock.acquire()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.strip() == f"error: {lost_head('127.0.0.1:1', 'cells')}"
