"""A cache of pretrained networks that trials share, of bounded size.

The key of an entry is a hash of everything that the network depends on. A trial that needs a
network which another trial is training waits for it. Entries are written like checkpoints, whole
or not at all, and a damaged one counts as missing. An object store has no locks: there trials that
begin together each train the network, later ones read it, and nothing is evicted.
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

from ..errors import FilesError
from ..methods import catalog
from . import checkpoint
from .checkpoint import CheckpointError
from .places import Place

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..methods.contract import Pretraining, Shape, State

CACHE_FOLDER = ".pretrained"
"""Name of the cache among the artifacts of searches; no search can have this name."""

MAX_BYTES = 2 * 2**30
"""Size of a cache; the least recently used networks are evicted."""


def cache_key(
    settings: Mapping[str, "Scalar"],
    *,
    seeds: tuple[int, ...],
    shape: "Shape",
    fingerprint: str,
    device: str,
) -> str:
    """Return the sha256 of everything that a pretrained network depends on.

    `fingerprint` is that of the data. The type of the device and the version of torch are
    included because rounding differs, and the source of the methods because it may change.
    """
    facts = {
        "settings": dict(settings),
        "seeds": list(seeds),
        "shape": list(shape),
        "fingerprint": fingerprint,
        "device": torch.device(device).type,
        "code": [torch.__version__, _methods_digest()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@final
class SharedPretraining:
    """The pretraining of one trial, read from the cache or else trained and stored there."""

    def __init__(
        self,
        pretraining: "Pretraining",
        cache_folder: Place,
        *,
        settings: Mapping[str, "Scalar"],
        seeds: tuple[int, ...],
        shape: "Shape",
        fingerprint: str,
        device: str,
    ) -> None:
        self._pretraining, self._device = pretraining, device
        self._entry: CacheEntry | None = None
        if settings:  # without pretraining the entry would stay locked, and others would wait
            key = cache_key(
                settings, seeds=seeds, shape=shape, fingerprint=fingerprint, device=device
            )
            self._entry = CacheEntry(cache_folder, key)

    def load_or_reserve(self) -> None:
        """Load the network from the cache, or lock its entry so that this trial trains it.

        Waits while another trial trains it.
        """
        if self._entry is not None:
            network = self._entry.load_or_lock(self._device)
            if network is not None:
                self._pretraining.load(network)
                self._entry = None

    def store_when_ready(self) -> None:
        """Store the network once it is pretrained; call this after every epoch."""
        if self._entry is not None:
            network = self._pretraining.result()
            if network is not None:
                self._entry.store(network)
                self._entry = None


@final
class CacheEntry:
    """The entry of one network, which a trial locks while it trains the network."""

    def __init__(self, cache_folder: Place, key: str, *, max_bytes: int = MAX_BYTES) -> None:
        self._cache_folder = cache_folder
        self._folder = cache_folder / key
        self._max_bytes = max_bytes
        self._lock: int | None = None

    def load_or_lock(self, device: str) -> "State | None":
        """Return the network, or lock the entry until `store` or `release` and return None.

        Waits while another trial holds the lock; the kernel releases the lock of a process that
        dies. If the file system has no locks, nobody waits and each trial trains its own network.
        """
        network = self._read(device)
        if network is None and self._acquire_lock():
            network = self._read(device)  # it may have been stored while this trial waited
            if network is not None:
                self.release()
        return network

    def store(self, state: "State") -> None:
        """Write the network, evict others if the cache is too large, and release the lock.

        If the disk is full, the network is not shared and no error is raised.
        """
        tensors, scalars = checkpoint.split_state(state)
        with contextlib.suppress(FilesError):
            checkpoint.write(self._folder, tensors, scalars)
            if isinstance(self._cache_folder, Path):
                self._evict(self._cache_folder)
        self.release()

    def release(self) -> None:
        """Release the lock, if this trial holds it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __del__(self) -> None:
        self.release()  # the process may run other trials after this one was stopped

    def _read(self, device: str) -> "State | None":
        try:
            tensors, scalars = checkpoint.read(self._folder)
            if isinstance(self._folder, Path):
                os.utime(self._folder)
        except (CheckpointError, FilesError, OSError):
            return None
        return {**{name: tensor.to(device) for name, tensor in tensors.items()}, **scalars}

    def _acquire_lock(self) -> bool:
        """Wait for the lock; return False if the file system cannot provide one."""
        if not isinstance(self._cache_folder, Path):
            return False
        try:
            self._cache_folder.mkdir(parents=True, exist_ok=True)
            path = self._cache_folder / f"{self._folder.name}.lock"
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _evict(self, cache_folder: Path) -> None:
        """Remove the least recently used networks until the others fit into the cache."""
        remaining = self._max_bytes
        for folder in sorted(_networks(cache_folder), key=_last_used, reverse=True):
            remaining -= sum(file.stat().st_size for file in folder.iterdir())
            if remaining < 0 and folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)


def _networks(cache_folder: Path) -> list[Path]:
    visible = (path for path in cache_folder.iterdir() if not path.name.startswith("."))
    return [path for path in visible if path.is_dir()]


@cache
def _methods_digest() -> str:
    """Return the sha256 of the source of all methods."""
    digest = hashlib.sha256()
    for file in sorted(catalog.MODELS.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime
