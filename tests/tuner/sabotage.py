"""Ways in which files are damaged, and an honest manifest for dishonest ones."""

import hashlib
import json
import os
import pickle
from pathlib import Path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove(path: Path) -> None:
    path.unlink()


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def hostile_pickle(marker: Path) -> bytes:
    """Return a pickle that makes a folder `marker` when it is loaded."""
    return pickle.dumps(_Hostile(marker))


def sign(folder: Path) -> None:
    """Make the manifest agree with the files, as one who tampers with all of them would."""
    files = {
        path.name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in folder.iterdir()
        if path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
