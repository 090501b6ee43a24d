"""Pretrained networks that trials share: found by what they depend on, on a shelf of fixed size.

Two trials that want the same network at once do not train it twice: the second waits for the
first. What is on the shelf is whole or absent, as checkpoints are; a damaged one is as none.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch

from .. import models
from ..errors import DiskError
from . import checkpoint
from .checkpoint import CheckpointError

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..methods.contract import Pretraining, Shape, State

CACHE_FOLDER = ".pretrained"
"""Name of the folder among a place's artifacts; no search can have it."""

MOST_BYTES = 2 * 2**30
"""Room on a shelf; the networks that were used last stay."""


def cache_key(
    settings: Mapping[str, "Scalar"],
    *,
    seeds: tuple[int, ...],
    shape: "Shape",
    fingerprint: str,
    device: str,
) -> str:
    """Return the sha256 of everything that a pretrained network depends on.

    `fingerprint` is that of the data. The kind of the device and torch's version are part of it,
    because rounding differs, and so is what the methods' pages say.
    """
    facts = {
        "settings": dict(settings),
        "seeds": list(seeds),
        "shape": list(shape),
        "fingerprint": fingerprint,
        "device": torch.device(device).type,
        "code": [torch.__version__, _pages()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@final
class SharedPretraining:
    """What one training takes from a shelf or, where it is not there, trains and puts there."""

    def __init__(
        self,
        pretraining: "Pretraining",
        pretraining_cache: Path,
        *,
        settings: Mapping[str, "Scalar"],
        seeds: tuple[int, ...],
        shape: "Shape",
        fingerprint: str,
        device: str,
    ) -> None:
        self._pretraining, self._device = pretraining, device
        self._entry: CacheEntry | None = None
        if settings:  # a spot that nobody fills would keep all others waiting
            key = cache_key(
                settings, seeds=seeds, shape=shape, fingerprint=fingerprint, device=device
            )
            self._entry = CacheEntry(pretraining_cache, key)

    def take(self) -> None:
        """Take the network up if it is there, after a wait where another is training it."""
        if self._entry is not None:
            found = self._entry.take(self._device)
            if found is not None:
                self._pretraining.take(found)
                self._entry = None

    def give(self) -> None:
        """Put the network there once it is pretrained; to be called after every pass."""
        result = None if self._entry is None else self._pretraining.result()
        if self._entry is not None and result is not None:
            self._entry.put(result)
            self._entry = None


@final
class CacheEntry:
    """One network's spot on a shelf, held by at most one trial at a time while it is empty."""

    def __init__(self, pretraining_cache: Path, key: str, *, most_bytes: int = MOST_BYTES) -> None:
        self._cache, self._folder, self._most_bytes = (
            pretraining_cache,
            pretraining_cache / key,
            most_bytes,
        )
        self._lock: int | None = None

    def take(self, device: str) -> "State | None":
        """Return the network, or None: then the spot is held until `put` or `release`.

        Waits while another holds it. A holder that dies lets go of it, since the lock is the
        kernel's. Where the file system has no locks, nobody waits and each trains its own.
        """
        found = self._read(device)
        if found is None and self._hold():
            found = self._read(device)  # another may have put it there while this one waited
            if found is not None:
                self.release()
        return found

    def put(self, state: "State") -> None:
        """Put the network there, make room and let go; a full disk costs the sharing alone."""
        tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        scalars = {key: value for key, value in state.items() if key not in tensors}
        with contextlib.suppress(DiskError):
            checkpoint.write(self._folder, tensors, scalars)
            self._make_room()
        self.release()

    def release(self) -> None:
        """Let go of the spot, for the next that waits."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __del__(self) -> None:
        self.release()  # the process may go on with other trials after this one is dropped

    def _read(self, device: str) -> "State | None":
        try:
            tensors, scalars = checkpoint.read(self._folder)
            os.utime(self._folder)
        except (CheckpointError, OSError):
            return None
        return {**{name: tensor.to(device) for name, tensor in tensors.items()}, **scalars}

    def _hold(self) -> bool:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            name = self._folder.with_suffix(".lock")
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _make_room(self) -> None:
        """Remove the networks that were not used for longest until the rest fits."""
        room = self._most_bytes
        for folder in sorted(self._networks(), key=_last_used, reverse=True):
            room -= sum(file.stat().st_size for file in folder.iterdir())
            if room < 0 and folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)

    def _networks(self) -> list[Path]:
        hidden = (path for path in self._cache.iterdir() if not path.name.startswith("."))
        return [path for path in hidden if path.is_dir()]


@cache
def _pages() -> str:
    """Return the sha256 of the pages that methods are written on."""
    digest = hashlib.sha256()
    for page in sorted(Path(str(models.__file__)).parent.rglob("*.py")):
        digest.update(page.read_bytes())
    return digest.hexdigest()


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime
