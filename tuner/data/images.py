"""Images with known classes, read from where their libraries keep them."""

import os
import socket
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .dataset import Content

_PATIENCE = 30.0  # seconds that a download may say nothing


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
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        part = reader(str(folder), train=train, download=True)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError, zlib.error) as error:
        raise _unreadable(folder / name / "raw", reader.resources, error) from error
    finally:
        socket.setdefaulttimeout(before)
    return part.data.numpy(), part.targets.numpy().astype(np.int64)


def _unreadable(folder: Path, resources: Sequence[tuple[str, str]], error: Exception) -> DataError:
    """Return what to do about files that are not there, or are there and damaged."""
    lines = str(error).strip().splitlines()
    said = lines[-1].strip() if lines else type(error).__name__
    if all((folder / name.removesuffix(".gz")).is_file() for name, _ in resources):
        return DataError(f"files in {folder} are damaged ({said}): delete it to fetch them again")
    return DataError(
        f"{folder} does not hold all files and they cannot be fetched ({said}): set "
        "TUNER_DATA_HOME to a folder that has them in torchvision's layout, or find a network"
    )
