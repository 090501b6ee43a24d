"""The thread in which Ray starts: signals wait for the start, and it outlives the call."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tuner.execution.threads import StartThread


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Heed SIGINT, which a shell lets its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_call_runs_in_a_thread_that_lives_on() -> None:
    threads: list[threading.Thread] = []
    starter = StartThread(lambda: threads.append(threading.current_thread()))
    starter.start()
    (thread,) = threads
    assert thread is not threading.main_thread()
    thread.join(1)
    assert thread.is_alive()
    assert thread.daemon, "it does not keep the process from ending"


def test_an_error_of_the_call_is_raised_here() -> None:
    def fail() -> None:
        raise OSError("no room")

    starter = StartThread(fail)
    with pytest.raises(OSError, match="no room"):
        starter.start()


def test_an_interrupt_waits_for_the_call() -> None:
    ended: list[bool] = []

    def call() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.append(True)

    starter = StartThread(call)
    with pytest.raises(KeyboardInterrupt):
        starter.start()
    assert ended == [True]


def test_a_second_interrupt_does_not_wait() -> None:
    release = threading.Event()

    def call() -> None:
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        release.wait(60)

    starter = StartThread(call)
    with pytest.raises(KeyboardInterrupt):
        starter.start()
    assert not release.is_set()
    release.set()


CHILD = "import signal; signal.pause()"
PARENT = """
import ctypes, signal, subprocess, sys, threading, time
from tuner.execution.threads import StartThread

def die_with_parent():
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)

children = []

def call():
    command = [sys.executable, "-c", {child!r}]
    children.append(subprocess.Popen(command, preexec_fn=die_with_parent))

starter = StartThread(call)
starter.start()
time.sleep(1)
print(children[0].poll())
ended = threading.Thread(target=call)
ended.start()
ended.join()
print(children[1].wait(60))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal is one of Linux")
def test_what_dies_with_its_parent_lives_as_long_as_the_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT.format(child=CHILD)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "-9"], "the kernel asks which thread has started it"
