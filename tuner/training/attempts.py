"""The attempts at a trial, each with files of its own.

A trial may be run again while its former worker still trains, unnoticed: its driver has lost the
lease, or the network has cut its machine off. So every attempt writes to a folder that no other
one knows, and readers take the newest. Folders are ordered by the attempt that the ledger counted
and by the number that the attempt claimed when it began; a random suffix keeps two that claim the
same number apart, because an object store cannot create a folder exclusively.
"""

import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import FilesError
from .places import Place, delete_folder

CHECKPOINTS = "checkpoints"
METRICS_FILE = "metrics.jsonl"
_NAME = re.compile(r"attempt-(\d+)-(\d+)-[0-9a-f]{8}")


def attempts(folder: Place) -> list[Place]:
    """Return the folders of the attempts at a trial, newest first.

    Earlier versions wrote to the folder of the trial itself, which counts as the oldest attempt.
    """
    names = set(names_in(folder))
    found = sorted(filter(is_attempt, names), key=order, reverse=True)
    own = [folder] if names & {METRICS_FILE, CHECKPOINTS} else []
    return [*(folder / name for name in found), *own]


def is_attempt(name: str) -> bool:
    """Return whether a folder of this name holds the files of an attempt."""
    return _NAME.fullmatch(name) is not None


def delete_checkpoints(folder: Place) -> None:
    """Delete the checkpoints of all trials and finalists of a search."""
    if isinstance(folder, Path):
        for pattern in (f"*/{CHECKPOINTS}", f"*/attempt-*/{CHECKPOINTS}"):
            for path in folder.glob(pattern):
                delete_folder(path)
        return
    with suppress(FilesError):  # as on a disk: nothing depends on it
        folder.delete([file for file in folder.files() if f"/{CHECKPOINTS}/" in file])


def delete_attempts(folder: Place) -> None:
    """Delete the files of all attempts below a folder, which has received what matters of them."""
    for attempt in attempts(folder):
        if attempt != folder:
            delete_folder(attempt)


def new_attempt(counted: int, others: Iterable[str]) -> str:
    """Return a name for the next attempt besides others, `counted` being the ledger's number."""
    orders = [order(name) for name in others if is_attempt(name)]
    number = max((claimed for ledger, claimed, _ in orders if ledger == counted), default=-1) + 1
    return f"attempt-{counted:03d}-{number:03d}-{uuid.uuid4().hex[:8]}"


def order(name: str) -> tuple[int, int, str]:
    """Return what attempts at a trial are sorted by."""
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2]), name


def names_in(folder: Place) -> list[str]:
    """Return the names of the files and folders in a folder, none if there is no such folder."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # of a disk: writing there says what is wrong
        return []
