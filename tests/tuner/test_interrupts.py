"""Signals in a process of its own, as a command receives them."""

import signal
import subprocess
import sys

import pytest

_COMMAND = """
import os, signal, sys, time
from tuner import interrupts

handler = interrupts.InterruptHandler()
{install}
try:
    signal.alarm(1)  # as a handler of Ray's does before it passes the signal on
    os.kill(os.getpid(), {signum})
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(2)
    sys.exit(128 + interrupts.received())
"""


@pytest.mark.parametrize(
    "install", ["interrupts.install()", "held = handler.installed(); held.__enter__()"]
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_alarm_that_comes_with_a_signal_aborts_nothing(install: str, signum: int) -> None:
    command = _COMMAND.format(install=install, signum=int(signum))
    ended = subprocess.run([sys.executable, "-c", command], check=False, timeout=60)
    assert ended.returncode == 128 + signum


def test_an_alarm_of_the_users_own_stays() -> None:
    command = """
import os, signal, time
from tuner import interrupts

interrupts.install()
signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
signal.alarm(1)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    time.sleep(30)
"""
    ended = subprocess.run([sys.executable, "-c", command], check=False, timeout=60)
    assert ended.returncode == 7
