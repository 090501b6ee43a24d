"""Folders and objects in an object store, with the names that pathlib gives the same things.

An object appears whole or not at all, but a store has no rename, no append, no exclusive creation
and no locks, and its folders exist only by the objects below them. What is written here relies on
none of these.
"""

import errno
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, final

from . import store_access


@final
class StorePath:
    """A folder or an object at a URL such as s3://bucket/folder.

    Calls are repeated for up to `patience` seconds, by default a minute, while the store does not
    answer, and then raise StoreError; where the store refuses them they raise DiskError at once.
    """

    def __init__(self, url: str, *, patience: float | None = None) -> None:
        self._url, self._patience = url.rstrip("/"), patience

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"StorePath({self._url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorePath) and str(other) == self._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __truediv__(self, name: str) -> "StorePath":
        return StorePath(f"{self._url}/{name}", patience=self._patience)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self._url.rpartition("/")[2]

    @property
    def parent(self) -> "StorePath":
        """The folder that this one is in."""
        return StorePath(self._url.rpartition("/")[0], patience=self._patience)

    def read_bytes(self) -> bytes:
        """Return the content of an object, or raise FileNotFoundError."""
        size = int(self._call("_info", self._url)["size"])  # decides how long it may take
        content: bytes = self._call("_cat_file", self._url, size=size)
        return content

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the text of an object, or raise FileNotFoundError."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write an object, replacing an existing one."""
        try:
            self._call("_pipe_file", self._url, content, size=len(content))
        except FileNotFoundError:
            raise store_access.refusal(self._url, "there is no such bucket") from None

    def iterdir(self) -> "list[StorePath]":
        """Return what is directly in a folder, sorted by name."""
        try:
            entries: list[dict[str, Any]] = self._call("_ls", self._url, detail=True)
        except FileNotFoundError:
            return []
        return [self / name for name in self._relative(str(e["name"]) for e in entries)]

    def glob(self, pattern: str) -> "list[StorePath]":
        """Return what is directly in a folder and whose name matches a pattern."""
        return [path for path in self.iterdir() if fnmatchcase(path.name, pattern)]

    def files(self) -> list[str]:
        """Return all objects below a folder, sorted, each by its path within it."""
        try:
            found: list[str] = self._call("_find", self._url)
        except FileNotFoundError:
            return []
        return self._relative(found)

    def exists(self) -> bool:
        """Return whether there is an object or a folder here."""
        return bool(self._call("_exists", self._url))

    def is_dir(self) -> bool:
        """Return whether there is anything in this folder."""
        return bool(self.iterdir())

    def unlink(self) -> None:
        """Delete an object, if there is one."""
        self.delete([""])

    def delete(self, files: list[str]) -> None:
        """Delete objects in this folder, each given by its path within it."""
        paths = [str(self / file).rstrip("/") for file in files]
        if paths:
            try:
                self._call("_rm", paths)
            except FileNotFoundError:
                return

    def _relative(self, paths: Iterable[str]) -> list[str]:
        """Return those of the store's paths that are in this folder, by their paths within it."""
        own = store_access.path_in_store(self._url).strip("/") + "/"
        below = (path.strip("/") for path in paths)
        return sorted(path.removeprefix(own) for path in below if path.startswith(own))

    def _call(self, method: str, *arguments: Any, size: int = 0, **options: Any) -> Any:
        """Call a method of fsspec that transfers `size` bytes."""
        patience = store_access.PATIENCE if self._patience is None else self._patience
        try:
            return store_access.called(
                self._url, method, *arguments, size=size, patience=patience, **options
            )
        except FileNotFoundError:
            missing = errno.ENOENT
            raise FileNotFoundError(missing, os.strerror(missing), self._url) from None
