"""Images with known classes, read from where their libraries keep them."""

import os
import socket
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from . import checks
from .dataset import Content
from .scaling import Shape

_PATIENCE = 30.0  # seconds that a download may say nothing
_HOUSE_NUMBER = (32, 32, 3)
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NameError,  # of a variable inside scipy
    NotImplementedError,  # MATLAB's newer files, which are HDF5
    OSError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)


def digits() -> Content:
    """Return the 1,797 grey images of 8x8 pixels, values 0 to 16, that scikit-learn ships."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Content(bunch.images, bunch.target, unit=16.0, label_names=tuple(map(str, range(10))))


def mnist() -> Content:
    """Return the handwritten digits: 60,000 and 10,000 grey images of 28x28 pixels."""
    return _torchvision("MNIST", tuple(map(str, range(10))))


def fashion_mnist() -> Content:
    """Return the pictures of clothes: 60,000 and 10,000 grey images of 28x28 pixels."""
    names = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return _torchvision("FashionMNIST", tuple(names.split(",")))


def svhn() -> Content:
    """Return the cropped house numbers: 73,257 and 26,032 colour images of 32x32 pixels.

    torchvision's reader takes the two published files alone, by their checksums, and would
    download them over anything else of that name. It is asked for files that are absent; those
    that are there are read here, in the same layout, so that a sample of them is data as well.
    """
    (x, y), (x_test, y_test) = _house_numbers("train"), _house_numbers("test")
    return Content(x, y, x_test, y_test)


def home() -> Path:
    """Return the folder of downloaded data: TUNER_DATA_HOME, or ~/.cache/tuner."""
    given = os.environ.get("TUNER_DATA_HOME", "")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "tuner"


def _torchvision(name: str, label_names: tuple[str, ...]) -> Content:
    """Return a data set that torchvision keeps in its own layout, fetched where it is absent."""
    (x, y), (x_test, y_test) = _part(name, train=True), _part(name, train=False)
    return Content(x, y, x_test, y_test, label_names=label_names)


def _part(name: str, *, train: bool) -> tuple[Any, Any]:
    from torchvision import datasets

    folder = home()
    reader = getattr(datasets, name)
    try:
        with _patient():
            part = reader(str(folder), train=train, download=True)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError, zlib.error) as error:
        files = [file.removesuffix(".gz") for file, _ in reader.resources]
        raise _unreadable(folder / name / "raw", files, error) from error
    return part.data.numpy(), part.targets.numpy().astype(np.int64)


def _house_numbers(part: str) -> tuple[Any, Any]:
    """Return images (N, 3, 32, 32) and digits (N,); the files call the digit 0 ten."""
    from scipy import io
    from scipy.io.matlab import MatReadError

    path = home() / f"{part}_32x32.mat"
    if not path.exists():
        _fetch(part, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scipy leaves out what it cannot read
            warnings.simplefilter("ignore", DeprecationWarning)
            shapes = {name: shape for name, shape, _ in io.whosmat(path, appendmat=False)}
            _require_house_numbers(shapes, path)
            found = io.loadmat(path, appendmat=False, variable_names=("X", "y"))
            x, y = found["X"].transpose(3, 2, 0, 1), found["y"].reshape(-1).astype(np.int64)
    except (*_DAMAGE, MatReadError) as error:
        raise DataError(
            f"{checks.shown(path)} is damaged ({_said(error)}): delete it to fetch it again"
        ) from error
    return x, np.where(y == 10, 0, y)


def _require_house_numbers(shapes: dict[str, Shape], path: Path) -> None:
    shape = shapes.get("X", ())
    if len(shape) != 4 or shape[:3] != _HOUSE_NUMBER or "y" not in shapes:
        there = ", ".join(f"{name} of shape {own}" for name, own in shapes.items())
        raise DataError(
            f"{checks.shown(path)} holds {there if there else 'nothing'}, not images X of shape "
            f"(32, 32, 3, N) and their digits y: put the file of cropped digits in its place"
        )
    checks.require_memory(int(np.prod(shape)), 1, checks.shown(path))


def _fetch(part: str, path: Path) -> None:
    """Download a published file, so that it is there whole or not at all."""
    from torchvision.datasets import SVHN
    from torchvision.datasets.utils import download_url

    url, name, md5 = SVHN.split_list[part]
    try:
        with _patient():
            download_url(url, str(path.parent), f"{name}.part", md5)
        path.with_name(f"{name}.part").replace(path)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise _unreadable(path.parent, [name], error) from error


@contextmanager
def _patient() -> Iterator[None]:
    """Let a network that says nothing end a download."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unreadable(folder: Path, files: Sequence[str], error: Exception) -> DataError:
    """Return what to do about files that are not there, or are there and damaged."""
    said = _said(error)
    if all((folder / name).is_file() for name in files):
        return DataError(f"files in {folder} are damaged ({said}): delete it to fetch them again")
    return DataError(
        f"{folder} does not hold all files and they cannot be fetched ({said}): set "
        "TUNER_DATA_HOME to a folder that has them in torchvision's layout, or find a network"
    )


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
