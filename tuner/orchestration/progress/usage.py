"""What is in use, told to a view every few seconds: memory, GPUs, and a cluster of machines."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from .events import EventCallback, Usage

_PAUSE = 3.0
_PATIENCE = 1.0
_TIMEOUT = 10.0  # of nvidia-smi, which takes seconds where its driver is not kept loaded
_MIB = 2**20
_QUERY = "--query-gpu=memory.used,memory.total,utilization.gpu"

InUse = Callable[[], Mapping[str, tuple[float, float]]]


@contextmanager
def watched_usage(
    on_event: EventCallback, *, gpus: bool, in_use: InUse = dict, pause: float = _PAUSE
) -> Iterator[None]:
    """Tell of what is in use while the block runs; `gpus` says whether to ask for GPUs.

    `in_use` returns what is in use of a cluster, empty where that is this machine. Whatever cannot
    be found out is left out.
    """
    stopped = threading.Event()

    def watch() -> None:
        command = _gpu_command() if gpus else None
        while not stopped.is_set():
            with suppress(Exception):  # a figure for the eyes never ends a search
                on_event(sample(command, in_use))
            stopped.wait(pause)

    thread = threading.Thread(target=watch, name="usage", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(_PATIENCE)  # a cluster must not be asked once it is closed


def sample(command: list[str] | None = None, in_use: InUse = dict) -> Usage:
    """Return what is in use now; `command` prints the figures of GPUs."""
    memory = psutil.virtual_memory()
    cluster: Mapping[str, tuple[float, float]] = {}
    with suppress(Exception):
        cluster = in_use()
    found = {} if command is None else gpu_figures(_output(command))
    return Usage(
        memory=memory.total - memory.available,
        memory_total=memory.total,
        cluster=cluster,
        **found,
    )


def gpu_figures(text: str) -> dict[str, Any]:
    """Return the fields of `Usage` about GPUs from what nvidia-smi prints, a line for each."""
    rows = []
    for row in text.splitlines():
        with suppress(ValueError):  # a device that is not supported, or in trouble
            used, total, busy = map(float, row.split(","))
            rows.append((used, total, busy))
    if not rows:
        return {}
    used, total, busy = map(sum, zip(*rows, strict=True))
    return {
        "gpus": len(rows),
        "gpu_memory": int(used * _MIB),
        "gpu_memory_total": int(total * _MIB),
        "gpu_busy": busy / 100 / len(rows),
    }


def _gpu_command() -> list[str] | None:
    """Return the command that asks for the GPUs which this process may use, None without it.

    Unlike torch, it needs no context of its own on a GPU, which takes half a GiB there.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    chosen = [f"--id={visible}"] if visible else []
    return [program, _QUERY, "--format=csv,noheader,nounits", *chosen]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
