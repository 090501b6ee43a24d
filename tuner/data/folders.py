"""Images in a folder: one folder a class, as torchvision's ImageFolder has them, or none."""

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

from ..errors import DataError
from . import checks
from .checks import shown
from .dataset import Content
from .scaling import Array, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Pillow is asked for these alone: it would hand PostScript to an interpreter
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # besides names that begin with a dot
_SPLIT = ("train", "test")
_PARTS = {*_SPLIT, "val", "valid", "validation"}
_DAMAGE = (
    OSError,
    SyntaxError,  # what Pillow raises for a broken PNG
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


def images(path: Path, labels: str | None, where: str) -> Content:
    """Return the images below a folder as bytes, (N, H, W) if all are grey, else (N, 3, H, W).

    Images beside each other have no labels; images in folders have these folders' names. A folder
    that holds the folders train and test alone has its test part published. They come in the
    order of their names. Raises DataError.
    """
    if labels is not None:
        raise DataError(
            f"labels={labels!r} names a column of a table, and {where} is a folder, where classes "
            "are folders: leave labels out"
        )
    parts = [_classed(part) for part in _parts(path)]
    files = [file for part, _ in parts for file in part]
    shape = _shape(files)
    checks.require_memory(len(files) * int(np.prod(shape)), 1, where)
    stacks = [(_stack(part, shape), classes) for part, classes in parts]
    (x, y), (x_test, y_test) = (*stacks, (None, None))[:2]
    assert x is not None
    return Content(x, y, x_test, y_test)


def state(path: Path) -> tuple[object, ...]:
    """Return what changes when an image below a folder is written, replaced or taken away."""
    listed = [(file, file.stat()) for file in _listed(path)]
    return tuple((str(f), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for f, s in listed)


def _parts(path: Path) -> list[Path]:
    """Return the folder, or those of a published split in it."""
    entries = _entries(path)
    folders = {one.name for one in entries if one.is_dir()}
    if folders == set(_SPLIT) and len(entries) == len(_SPLIT):
        return [path / name for name in _SPLIT]
    if folders and folders <= _PARTS:
        raise DataError(
            f"{shown(path)} holds {_named(sorted(folders))}, which are parts and no "
            "classes: give a folder that holds train and test alone, or the path of one part"
        )
    return [path]


def _classed(folder: Path) -> _Images:
    """Return the images of a folder in the order of their names, with their classes if any."""
    files = _listed(folder)
    folders = [one.name for one in _entries(folder) if one.is_dir()]
    classes = [_class(file.relative_to(folder)) for file in files]
    if not files:
        raise DataError(
            f"{shown(folder)} is a folder without images: give one that holds files that end in "
            f"{', '.join(ENDINGS)}, or a file of data"
        )
    if empty := set(folders) - set(classes):
        raise DataError(
            f"{shown(folder)} holds no images in {_named(sorted(empty))}: put some in, or take "
            "the folder out"
        )
    if not folders:
        return files, None
    if "" in classes:
        raise DataError(
            f"{shown(folder)} holds images beside {_named(sorted(folders))}: put every image into "
            "the folder of its class, or all of them beside each other"
        )
    if len(folders) == 1:
        raise DataError(
            f"{shown(folder)} holds one class alone, {_named(folders)}: give the path of that "
            "folder for images without labels, or a folder for each of at least 2 classes"
        )
    names = [name if name.isprintable() else ascii(name)[1:-1] for name in classes]
    return files, np.array(names)


def _class(inner: Path) -> str:
    """Return the folder that an image is in, or nothing."""
    return inner.parts[0] if len(inner.parts) > 1 else ""


def _listed(folder: Path) -> list[Path]:
    """Return all images below a folder, sorted; raise for what else is there."""
    found = []
    for entry in _entries(folder):
        inner = folder / entry.name
        if entry.is_symlink():
            raise DataError(
                f"{shown(inner)} is a link, and links are not followed: copy what it leads to "
                "(cp -rL copies a folder with all of it)"
            )
        if entry.is_dir():
            found += _listed(inner)
        elif not stat.S_ISREG(entry.stat().st_mode):
            raise DataError(f"{shown(inner)} is no regular file: take it out of the folder")
        elif inner.suffix.lower() not in ENDINGS:
            raise DataError(
                f"{shown(inner)} is not an image that can be read: a folder of images holds files "
                f"that end in {', '.join(ENDINGS)}, so take it out or save it as one of these"
            )
        else:
            found.append(inner)
    return sorted(found, key=lambda file: (file.parent, file.name))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what is in a folder, without what file managers leave behind."""
    with os.scandir(folder) as entries:
        kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _LITTER]
    return sorted(kept, key=lambda entry: entry.name)


def _shape(files: Sequence[Path]) -> Shape:
    """Return the shape that all images have, (H, W) or (3, H, W), from their headers alone."""
    size, colour = None, False
    for file in files:
        with _opened(file) as image:
            pages = getattr(image, "n_frames", 1) if image.format in ("TIFF", "WEBP", "PNG") else 1
            mode, own = image.mode, image.size
        if mode not in _GREY + _COLOUR:
            raise DataError(
                f"{shown(file)} has pixels of mode {mode}, not of 8 bits a channel: save it with "
                "8 bits, or give all images as an array in a .npy file"
            )
        if pages > 1:
            raise DataError(f"{shown(file)} holds {pages} images: save each as its own file")
        size = own if size is None else size
        if own != size:
            raise DataError(
                f"{shown(file)} has {own[0]} x {own[1]} pixels and {shown(files[0])} has "
                f"{size[0]} x {size[1]}, width x height: crop or resize all images to one size"
            )
        colour = colour or mode not in _GREY
    assert size is not None
    return (3, size[1], size[0]) if colour else (size[1], size[0])


def _stack(files: Sequence[Path], shape: Shape) -> Array:
    """Return images (N, *shape) as bytes."""
    x = np.empty((len(files), *shape), np.uint8)
    for row, file in enumerate(files):
        with _opened(file) as image:
            if _see_through(image):
                raise DataError(
                    f"{shown(file)} has transparent pixels: lay it on a background, and save it "
                    "without transparency"
                )
            pixels = np.asarray(image.convert("L" if len(shape) == 2 else "RGB"))
            x[row] = pixels if len(shape) == 2 else np.moveaxis(pixels, 2, 0)
    return x


def _see_through(image: "Image") -> bool:
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)


@contextmanager
def _opened(file: Path) -> "Iterator[Image]":
    """Open an image, and say of whatever goes wrong with it which one it is."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), file.open("rb") as stream:
            warnings.simplefilter("ignore")  # odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_FORMATS) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{shown(file)} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: resize all images to "
            "a size that can be clustered, such as 32 x 32"
        ) from error
    except UnidentifiedImageError as error:
        raise _broken(file, f"it is none of {', '.join(_FORMATS)}") from error
    except _DAMAGE as error:
        raise _broken(file, str(error).strip().partition("\n")[0]) from error


def _broken(file: Path, said: str) -> DataError:
    return DataError(
        f"{shown(file)} cannot be read as an image ({said}): save it again, or take it out of "
        "the folder"
    )


def _named(folders: Sequence[str]) -> str:
    """Return the names of folders for a sentence."""
    more = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return f"the folder{'s' * (len(folders) > 1)} {', '.join(map(repr, folders[:3]))}{more}"
