"""Names a process so that others can tell, on the same machine at once, whether it has exited."""

import os
import socket
import uuid
from collections.abc import Mapping
from typing import Any

import psutil


def new_owner() -> str:
    """Return a name for what this process is about to own: its host, its PID and a token."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def pid_namespace() -> str:
    """Return the PID namespace of this process, since each container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def has_exited(entry: Mapping[str, Any]) -> bool:
    """Return whether an owner has exited; False if it runs on another machine or container.

    `entry` holds its `owner` name, the PID namespace `processes`, and `since`, a time in seconds
    since 1970 at which it was running.
    """
    parts = str(entry["owner"]).rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return False
    host, pid, _ = parts
    if host != socket.gethostname() or entry.get("processes", "") != pid_namespace():
        return False
    try:
        process = psutil.Process(int(pid))
        # the system may reuse the PID, and an ended process that nobody waited for is a zombie
        reused = process.create_time() > entry["since"] + 1.0
        return bool(reused or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
