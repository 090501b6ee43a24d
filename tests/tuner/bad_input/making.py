"""What bad input is made of: each function returns what fills a folder."""

import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Maker = Callable[[Path], object]


def text(name: str, content: str | bytes) -> Maker:
    """Return what writes a file."""
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda here: (here / name).write_bytes(raw)


def folder(name: str) -> Maker:
    """Return what makes an empty folder."""
    return lambda here: (here / name).mkdir()


def dangling(name: str) -> Maker:
    """Return what makes a link to nothing."""
    return lambda here: (here / name).symlink_to(here / "gone")


def loop(name: str) -> Maker:
    """Return what makes a link to itself."""
    return lambda here: (here / name).symlink_to(here / name)


def link_to(name: str, target: Path) -> Maker:
    """Return what makes a link."""
    return lambda here: (here / name).symlink_to(target)


def fifo(name: str) -> Maker:
    """Return what makes a pipe that nobody writes to."""
    return lambda here: os.mkfifo(here / name)


def unix_socket(name: str) -> Maker:
    """Return what makes a socket, by a short path, as those of sockets must be short."""

    def make(here: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(here / name))

    return make


def both(*makers: Maker) -> Maker:
    """Return what does several things."""
    return lambda here: [make(here) for make in makers]


def npy(name: str, x: object, **how: Any) -> Maker:
    """Return what saves an array."""
    return lambda here: np.save(here / name, x, **how)  # type: ignore[arg-type]


def npz(name: str, **arrays: Any) -> Maker:
    """Return what saves several arrays."""
    return lambda here: np.savez(here / name, **arrays)


def npy_header(name: str, header: str, *, version: bytes = b"\x01\x00") -> Maker:
    """Return what writes a .npy file with a header of one's own."""
    line = header.encode("latin-1") + b" " * (-(len(header) + 11) % 64) + b"\n"
    size = struct.pack("<H" if version < b"\x02" else "<I", len(line))
    return text(name, b"\x93NUMPY" + version + size + line)


def archive(name: str, **members: bytes) -> Maker:
    """Return what writes a zip file."""

    def make(here: Path) -> None:
        with zipfile.ZipFile(here / name, "w") as file:
            for member, content in members.items():
                file.writestr(member, content)

    return make


def frame(name: str, **columns: Any) -> Maker:
    """Return what writes a table, in the format that its name says."""

    def make(here: Path) -> None:
        import pyarrow as pa
        from pyarrow import feather, parquet

        write = parquet.write_table if name.endswith(".parquet") else feather.write_feather
        write(pa.table(columns), str(here / name))

    return make


def image(name: str, size: tuple[int, int] = (8, 8), mode: str = "L", **how: Any) -> Maker:
    """Return what saves an image, with its folder."""

    def make(here: Path) -> None:
        from PIL import Image

        (here / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(here / name, **how)

    return make


def cut(name: str, keep: float, maker: Maker) -> Maker:
    """Return what makes a file and leaves only its first part."""

    def make(here: Path) -> None:
        maker(here)
        path = here / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return make
