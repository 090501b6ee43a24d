"""The command line, in a driver that can be made to die at a given write to the ledger.

`python -m tests.tuner.faults.driver [--die-after N] COMMAND …`: the process kills itself with
SIGKILL in place of the write after the N-th.
"""

import os
import signal
import sys
from collections.abc import Sequence

import optuna
from sqlalchemy import event

from tuner.cli import app as cli
from tuner.ledger import ledger


def die_after(writes: int) -> None:
    """Let this many writes reach the ledger's database, then die at the next one."""
    left = [writes]
    opened = ledger.open_storage

    def hook(_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def storage(url: str) -> optuna.storages.RDBStorage:
        store = opened(url)
        event.listen(store.engine, "commit", hook)
        return store

    ledger.open_storage = storage


def main(arguments: Sequence[str]) -> int:
    if arguments[0] == "--die-after":
        die_after(int(arguments[1]))
        arguments = arguments[2:]
    return cli.run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
