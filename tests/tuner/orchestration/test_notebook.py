"""A search in a real kernel: what its cell shows, and what an interrupt leaves behind."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from tests.docs.notebook import environment
from tuner.orchestration.progress import in_notebook
from tuner.orchestration.progress.notebook import NotebookView
from tuner.orchestration.snapshot import SearchSnapshot, TrialRow

SECONDS = 200
PREPARED = """
import sys
from pathlib import Path
from tests.tuner.in_process import blobs, no_ray
import tuner

data = str(blobs(Path("blobs.npz")))

def search(name, trials):
    study = tuner.Study(
        methods=("kmeans",), dataset=data, trials=trials, replicas=1, finalists=1,
        finalist_seeds=1, sampler="random", name=name,
    )
    with no_ray():
        return tuner.search(study)
"""


class Kernel:
    """A kernel, and what it sends while a cell runs."""

    def __init__(self, folder: Path) -> None:
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), env=environment(folder)
        )

    def run(
        self, code: str, *, on_message: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Run a cell to its end and return its messages."""
        request, found = self.client.execute(code), []
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") == request:
                found.append(message)
                on_message(message)
                if message["content"].get("execution_state") == "idle":
                    return found
        raise TimeoutError(code)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        assert shown(kernel.run(PREPARED)) == []
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


def shown(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages that change what is below the cell."""
    hidden = ("status", "execute_input")
    return [message for message in messages if message["msg_type"] not in hidden]


def html(message: dict[str, Any]) -> str:
    return str(message["content"]["data"]["text/html"])


def test_a_kernel_is_a_notebook_and_a_test_is_none(kernel: Kernel) -> None:
    import IPython

    assert IPython.get_ipython() is None  # type: ignore[attr-defined]
    assert not in_notebook()
    (result,) = shown(
        kernel.run("from tuner.orchestration.progress import in_notebook\nin_notebook()")
    )
    assert result["content"]["data"]["text/plain"] == "True"


def test_progress_is_one_output_that_is_replaced(kernel: Kernel) -> None:
    started = time.monotonic()
    first, *updates = shown(kernel.run("result = search('shown', 12)"))
    assert first["msg_type"] == "display_data"
    assert {message["msg_type"] for message in updates} == {"update_display_data"}
    assert len({str(message["content"]["transient"]) for message in (first, *updates)}) == 1
    assert len(updates) <= 2 * (time.monotonic() - started) + 10  # with its messages
    assert "\x1b" not in str((first, updates))
    assert "<progress value=" in "".join(map(html, updates))
    assert "12 of 12 trials: 12 complete" in html(updates[-1])
    assert "<progress" not in html(updates[-1])
    assert "12 of 12 trials" in updates[-1]["content"]["data"]["text/plain"]


def test_a_result_is_a_table(kernel: Kernel) -> None:
    (shown_result,) = shown(kernel.run("result"))
    assert html(shown_result).startswith("<table")
    assert shown_result["content"]["data"]["text/plain"].startswith("Result('shown', trials=12")


def test_an_interrupt_says_how_to_go_on_and_leaves_the_kernel_alive(kernel: Kernel) -> None:
    interrupted = []

    def interrupt(message: dict[str, Any]) -> None:
        if not interrupted and "<progress value=" in str(message["content"]):
            interrupted.append(True)
            kernel.manager.interrupt_kernel()

    *_, error = shown(kernel.run("search('long', 3000)", on_message=interrupt))
    assert error["msg_type"] == "error"
    assert error["content"]["ename"] == "InterruptedSearchError"
    (sentence,) = error["content"]["traceback"]
    assert "of 3000 trials to go: continue with `tuner resume long`" in sentence
    (result,) = shown(kernel.run("1 + 1"))
    assert result["content"]["data"]["text/plain"] == "2"
    (result,) = shown(kernel.run("signal = __import__('signal')\nsignal.getsignal(signal.SIGINT)"))
    assert "tuner" not in result["content"]["data"]["text/plain"]


def test_bad_input_is_a_sentence_and_can_be_debugged(kernel: Kernel) -> None:
    (error,) = shown(kernel.run("tuner.Study(sampler='tpa')"))
    (sentence,) = error["content"]["traceback"]
    assert sentence.startswith("UsageError: no sampler 'tpa'; did you mean 'tpe'?")
    (result,) = shown(kernel.run("sys.last_value.__traceback__.tb_next is not None"))
    assert result["content"]["data"]["text/plain"] == "True"


def test_what_is_shown_is_escaped() -> None:
    view = NotebookView(clock=lambda: 0.0)
    view.log("<script>")
    row = TrialRow(number=0, method="<b>", state="RUNNING", value=0.5, sd=0.1, epoch=3, passes=9)
    view.update(SearchSnapshot(total=2, rows=(row,), seconds=1.0, finished_before=0))
    bundle = view.bundle(ended=False)
    assert "<script>" not in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]
    assert "3/9" in bundle["text/html"]
    assert "0.500 ± 0.100" in bundle["text/html"]


def test_before_the_first_trial_it_is_starting() -> None:
    assert NotebookView().bundle(ended=False)["text/plain"] == "starting"
    assert "starting" not in NotebookView().bundle(ended=True)["text/html"]
