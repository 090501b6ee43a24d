"""Reads folders of images, with or without one subfolder per class (as ImageFolder)."""

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from .. import checks
from ..checks import shown
from ..content import Content
from ..preparation import Preparation
from ..scaling import Array, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# others are never opened: Pillow passes PostScript to an interpreter
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # besides hidden files
_SPLIT = ("train", "test")
_PARTS = {*_SPLIT, "val", "valid", "validation"}
_READ_ERRORS = (
    OSError,
    SyntaxError,  # raised by Pillow for a broken PNG
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)

_Images = tuple[list[Path], Array | None]


def read_images(path: Path, labels: str | None, where: str, preparation: Preparation) -> Content:
    """Return the images below a folder as bytes, (N, H, W) if all are grey, else (N, 3, H, W).

    Images are sorted by name. If they are in subfolders, the subfolders' names are their labels.
    If the only subfolders are train and test, they are the published split. Raises DataError.
    """
    if labels is not None:
        raise DataError(
            f"labels={labels!r} names a column of a table, but {where} is a folder, whose "
            "subfolders are the classes: leave out labels"
        )
    del preparation
    parts = [_find_images(part) for part in _parts(path)]
    files = [file for part, _ in parts for file in part]
    shape = _shape(files)
    checks.require_memory(len(files) * int(np.prod(shape)), 1, where)
    stacks = [(_stack(part, shape), classes) for part, classes in parts]
    (x, y), (x_test, y_test) = (*stacks, (None, None))[:2]
    assert x is not None
    names = tuple(_printable(file.relative_to(path).as_posix()) for file in files)
    return Content(x, y, x_test, y_test, row_heading="file", row_names=names)


def status(path: Path) -> tuple[object, ...]:
    """Return values that change when an image below a folder is written, replaced or removed."""
    listed = [(file, file.stat()) for file in _list_images(path)]
    return tuple((str(f), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for f, s in listed)


def _parts(path: Path) -> list[Path]:
    """Return the folder itself, or its subfolders if they are a published split."""
    entries = _entries(path)
    folders = {one.name for one in entries if one.is_dir()}
    if folders == set(_SPLIT) and len(entries) == len(_SPLIT):
        return [path / name for name in _SPLIT]
    if folders and folders <= _PARTS:
        raise DataError(
            f"{shown(path)} holds {_quote(sorted(folders))}, which are parts of a split, not "
            "classes: give a folder with only train and test in it, or the path of one part"
        )
    return [path]


def _find_images(folder: Path) -> _Images:
    """Return the images of a folder, sorted by name, with their classes if it has any."""
    files = _list_images(folder)
    folders = [one.name for one in _entries(folder) if one.is_dir()]
    classes = [_class(file.relative_to(folder)) for file in files]
    if not files:
        raise DataError(
            f"{shown(folder)} is a folder without images: give one with files that end in "
            f"{', '.join(EXTENSIONS)}, or a data file"
        )
    if empty := set(folders) - set(classes):
        raise DataError(
            f"{shown(folder)} has no images in {_quote(sorted(empty))}: add some or remove "
            "the folder"
        )
    if not folders:
        return files, None
    if "" in classes:
        raise DataError(
            f"{shown(folder)} holds images next to {_quote(sorted(folders))}: put every image "
            "into the folder of its class, or all images into one folder"
        )
    if len(folders) == 1:
        raise DataError(
            f"{shown(folder)} holds a single class, {_quote(folders)}: give the path of that "
            "folder for images without labels, or add folders for at least 2 classes"
        )
    return files, np.array(list(map(_printable, classes)))


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)[1:-1]


def _class(path: Path) -> str:
    """Return the top folder of a relative path, or an empty string if there is none."""
    return path.parts[0] if len(path.parts) > 1 else ""


def _list_images(folder: Path) -> list[Path]:
    """Return all images below a folder, sorted. Raises DataError for any other file."""
    found = []
    for entry in _entries(folder):
        path = folder / entry.name
        if entry.is_symlink():
            raise DataError(
                f"{shown(path)} is a link, and links are not followed: copy its target "
                "(cp -rL copies a folder with all targets)"
            )
        if entry.is_dir():
            found += _list_images(path)
        elif not stat.S_ISREG(entry.stat().st_mode):
            raise DataError(f"{shown(path)} is not a regular file: remove it from the folder")
        elif path.suffix.lower() not in EXTENSIONS:
            raise DataError(
                f"{shown(path)} is not an image that can be read: remove it, or save it with one "
                f"of the extensions {', '.join(EXTENSIONS)}"
            )
        else:
            found.append(path)
    return sorted(found, key=lambda file: (file.parent, file.name))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return the sorted entries of a folder, without hidden files and those of file managers."""
    with os.scandir(folder) as entries:
        kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _LITTER]
    return sorted(kept, key=lambda entry: entry.name)


def _shape(files: Sequence[Path]) -> Shape:
    """Return the common shape of the images, (H, W) or (3, H, W), from their headers only."""
    size, colour = None, False
    for file in files:
        with _open_image(file) as image:
            pages = getattr(image, "n_frames", 1) if image.format in ("TIFF", "WEBP", "PNG") else 1
            mode, width_height = image.mode, image.size
        if mode not in _GREY + _COLOUR:
            raise DataError(
                f"{shown(file)} has pixels of mode {mode}, not of 8 bits per channel: save it "
                "with 8 bits, or save all images as one array in a .npy file"
            )
        if pages > 1:
            raise DataError(f"{shown(file)} holds {pages} images: save each in its own file")
        size = width_height if size is None else size
        if width_height != size:
            raise DataError(
                f"{shown(file)} has {_times(width_height)} pixels (width x height) but "
                f"{shown(files[0])} has {_times(size)}: crop or resize all images to one size"
            )
        colour = colour or mode not in _GREY
    assert size is not None
    return (3, size[1], size[0]) if colour else (size[1], size[0])


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _stack(files: Sequence[Path], shape: Shape) -> Array:
    """Return images (N, *shape) as bytes."""
    x = np.empty((len(files), *shape), np.uint8)
    for row, file in enumerate(files):
        with _open_image(file) as image:
            if _has_transparency(image):
                raise DataError(
                    f"{shown(file)} has transparent pixels: put it on a background and save it "
                    "without transparency"
                )
            pixels = np.asarray(image.convert("L" if len(shape) == 2 else "RGB"))
            x[row] = pixels if len(shape) == 2 else np.moveaxis(pixels, 2, 0)
    return x


def _has_transparency(image: "Image") -> bool:
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)


@contextmanager
def _open_image(file: Path) -> "Iterator[Image]":
    """Open an image, and turn any error while reading it into a DataError with its path."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), file.open("rb") as stream:
            warnings.simplefilter("ignore")  # about unusual metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_FORMATS) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{shown(file)} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: resize all images to "
            "a size suitable for clustering, such as 32 x 32"
        ) from error
    except UnidentifiedImageError as error:
        raise _unreadable(file, f"it is none of {', '.join(_FORMATS)}") from error
    except _READ_ERRORS as error:
        raise _unreadable(file, str(error).strip().partition("\n")[0]) from error


def _unreadable(file: Path, reason: str) -> DataError:
    return DataError(
        f"{shown(file)} cannot be read as an image ({reason}): save it again or remove it from "
        "the folder"
    )


def _quote(folders: Sequence[str]) -> str:
    """Return the names of folders for an error message."""
    more = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return f"the folder{'s' * (len(folders) > 1)} {', '.join(map(repr, folders[:3]))}{more}"
