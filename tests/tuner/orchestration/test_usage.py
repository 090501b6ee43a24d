import threading

import psutil
import pytest

from tuner.orchestration.progress.events import Usage
from tuner.orchestration.progress.usage import gpu_figures, sample, watched_usage


def test_the_memory_in_use_is_that_of_this_machine():
    found = sample()
    assert found.memory_total == psutil.virtual_memory().total
    assert 0 < found.memory < found.memory_total
    assert (found.gpus, found.gpu_busy, found.cluster) == (0, None, {})


def test_figures_of_gpus_are_added_up():
    found = gpu_figures("1024, 81559, 50\n2048, 81559, 100\n")
    assert found == {
        "gpus": 2,
        "gpu_memory": 3072 * 2**20,
        "gpu_memory_total": 163118 * 2**20,
        "gpu_busy": 0.75,
    }


@pytest.mark.parametrize("text", ["", "No devices were found\n", "[N/A], [N/A], [N/A]\n"])
def test_without_figures_there_are_no_gpus(text):
    assert gpu_figures(text) == {}


@pytest.mark.parametrize("command", [["false"], ["/there/is/no/such/program"], ["echo", "hm"]])
def test_a_command_that_fails_is_left_out(command):
    assert sample(command).gpus == 0


def test_the_figures_of_a_command_are_read():
    assert sample(["echo", "512, 1024, 25"]).gpu_busy == 0.25


def test_a_cluster_that_does_not_answer_is_left_out():
    def lost():
        raise ConnectionError

    assert sample(in_use=lost).cluster == {}
    assert sample(in_use=lambda: {"CPU": (1.0, 2.0)}).cluster == {"CPU": (1.0, 2.0)}


def test_a_view_is_told_until_the_block_ends():
    seen: list[Usage] = []
    often = threading.Event()

    def tell(event):
        seen.append(event)
        if len(seen) == 3:
            often.set()

    with watched_usage(tell, gpus=False, pause=0.01):
        threads = [thread for thread in threading.enumerate() if thread.name == "usage"]
        assert often.wait(30)
    for thread in threads:
        thread.join(30)
    assert threads
    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(event, Usage) for event in seen)


def test_a_view_that_fails_does_not_end_the_watch():
    calls = threading.Semaphore(0)

    def fail(event):
        calls.release()
        raise RuntimeError

    with watched_usage(fail, gpus=False, pause=0.01):
        assert calls.acquire(timeout=30)
        assert calls.acquire(timeout=30)
