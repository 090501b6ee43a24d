"""Files that users write, read without waiting, files written whole, and folders on the way."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import DiskError


def read_small(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises OSError for a larger one, and for a pipe or a device, which might never end.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, at most {most:,} are read")
    return content


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file of any size. Raises OSError for a pipe or a device."""
    with _opened(path) as file:
        return file.read()


def read_head(path: Path, most: int) -> bytes:
    """Return the first `most` bytes of a regular file. Raises OSError for a pipe or a device."""
    with _opened(path) as file:
        return file.read(most)


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file; what is checked is what was opened, whatever is there by now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:  # a null byte in the path
        raise OSError(errno.EINVAL, "a path cannot contain a null byte") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    kind = "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
    raise OSError(errno.EINVAL, kind)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside the path, then rename it to the path.

    Raises DiskError where that is not possible.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        temporary.replace(path)
    except DiskError as error:
        raise DiskError(str(error).replace(str(temporary), str(path))) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskError(
            f"cannot write {path} ({reason}): choose an existing folder that can be written to"
        ) from None
    finally:
        with suppress(OSError):  # it was never made, or something that is no folder is in its path
            temporary.unlink()


@contextmanager
def left_as_found(folder: Path) -> Iterator[None]:
    """Remove the folders on the way to `folder` that were made meanwhile and are empty."""
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
