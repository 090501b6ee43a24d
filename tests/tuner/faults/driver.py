"""The command line, in a driver that can be made to die at a given write.

`python -m tests.tuner.faults.driver [--die-after N | --die-in PLACE:N] COMMAND …`: the process
kills itself with SIGKILL in place of the write to the ledger after the N-th, or of the write to
any database after the N-th once PLACE has begun, those of background threads not counted.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import optuna
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tuner import interrupts
from tuner.cli import app as cli
from tuner.ledger import ledger
from tuner.ledger import storage as storages

PLACES = {
    "finalists": ("tuner.execution.cluster", "Cluster", "train_finalists"),
    "registration": ("tuner.registry.versions", "Registry", "register"),
    "promotion": ("tuner.registry.versions", "Registry", "promote"),
}
_BACKGROUND = ("tuner-outbox", "lease")


def countdown(writes: int) -> Callable[[], None]:
    """Return what kills this process when it is called once more than `writes` times."""
    left = [writes]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def die_after(writes: int) -> None:
    """Let this many writes reach the ledger's database, then die at the next one."""
    count, opened = countdown(writes), ledger.open_storage

    def storage(url: str) -> optuna.storages.RDBStorage:
        store = opened(url)
        event.listen(store.engine, "commit", lambda _: count())
        return store

    ledger.open_storage = storages.open_storage = storage


def die_in(place: str, writes: int) -> None:
    """Let this many writes pass once a place has begun, then die at the next one."""
    module, *names = PLACES[place]
    owner = import_module(module)
    for name in names[:-1]:
        owner = getattr(owner, name)
    original, count = getattr(owner, names[-1]), countdown(writes)

    def write(_: Any, __: Any, statement: str, *___: Any) -> None:
        is_write = statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))
        if is_write and threading.current_thread().name not in _BACKGROUND:
            count()

    def begin(*arguments: Any, **named: Any) -> Any:
        if not event.contains(Engine, "before_cursor_execute", write):
            event.listen(Engine, "before_cursor_execute", write)
        return original(*arguments, **named)

    setattr(owner, names[-1], begin)


def main(arguments: Sequence[str]) -> int:
    interrupts.install()  # as the command line itself does
    if arguments[0] == "--die-after":
        die_after(int(arguments[1]))
        arguments = arguments[2:]
    elif arguments[0] == "--die-in":
        place, _, writes = arguments[1].partition(":")
        die_in(place, int(writes))
        arguments = arguments[2:]
    return cli.run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
