"""Image datasets with known classes, in the layouts of scikit-learn and torchvision."""

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

from ...errors import DataError
from ...small_files import left_as_found
from .. import checks
from ..content import Content
from ..scaling import Shape

_TIMEOUT = 30.0  # seconds without a response until a download fails
_SVHN_SHAPE = (32, 32, 3)
_READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NameError,  # an unbound variable in scipy
    NotImplementedError,  # MATLAB 7.3 files, which are HDF5
    OSError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)


def digits() -> Content:
    """Return the handwritten digits of scikit-learn: 1,797 grey images, 8x8, values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Content(bunch.images, bunch.target, unit=16.0, label_names=tuple(map(str, range(10))))


def mnist() -> Content:
    """Return MNIST, handwritten digits: 60,000 and 10,000 grey images of 28x28 pixels."""
    return _mnist("MNIST", tuple(map(str, range(10))))


def fashion_mnist() -> Content:
    """Return Fashion-MNIST, clothes: 60,000 and 10,000 grey images of 28x28 pixels."""
    names = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return _mnist("FashionMNIST", tuple(names.split(",")))


def svhn() -> Content:
    """Return SVHN, cropped house numbers: 73,257 and 26,032 colour images of 32x32 pixels.

    torchvision downloads absent files. Existing files are read here instead, because torchvision
    overwrites any that differ from the published ones, such as a smaller sample of them.
    """
    return Content(*_svhn_part("train"), *_svhn_part("test"), unit=255.0)


def home() -> Path:
    """Return the folder of downloaded data: TUNER_DATA_HOME, by default ~/.cache/tuner."""
    folder = os.environ.get("TUNER_DATA_HOME", "")
    try:
        return Path(folder).expanduser() if folder else Path.home() / ".cache" / "tuner"
    except RuntimeError:  # the home folder of an unknown user
        raise DataError(
            f"TUNER_DATA_HOME={folder!r} names a home folder that does not exist: set it to the "
            "full path of a folder"
        ) from None


def _mnist(name: str, label_names: tuple[str, ...]) -> Content:
    """Return a dataset in torchvision's layout of MNIST, downloaded if absent."""
    train, test = _mnist_part(name, train=True), _mnist_part(name, train=False)
    return Content(*train, *test, unit=255.0, label_names=label_names)


def _mnist_part(name: str, *, train: bool) -> tuple[Any, Any]:
    from torchvision import datasets

    folder = home()
    reader = getattr(datasets, name)
    try:
        with _socket_timeout(), left_as_found(folder / name / "raw"):
            part = reader(str(folder), train=train, download=True)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError, zlib.error) as error:
        files = [file.removesuffix(".gz") for file, _ in reader.resources]
        raise _unreadable(folder / name / "raw", files, error) from error
    return part.data.numpy(), part.targets.numpy().astype(np.int64)


def _svhn_part(part: str) -> tuple[Any, Any]:
    """Return images (N, 3, 32, 32) and digits (N,). The files store the digit 0 as 10."""
    from scipy import io
    from scipy.io.matlab import MatReadError

    path = home() / f"{part}_32x32.mat"
    if not path.exists():
        _download(part, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scipy only warns about variables that it cannot read
            warnings.simplefilter("ignore", DeprecationWarning)
            shapes = {name: shape for name, shape, _ in io.whosmat(path, appendmat=False)}
            _require_svhn(shapes, path)
            found = io.loadmat(path, appendmat=False, variable_names=("X", "y"))
            x, y = found["X"].transpose(3, 2, 0, 1), found["y"].reshape(-1).astype(np.int64)
    except (*_READ_ERRORS, MatReadError) as error:
        raise DataError(
            f"{checks.shown(path)} is damaged ({_reason(error)}): delete it to download it again"
        ) from error
    return x, np.where(y == 10, 0, y)


def _require_svhn(shapes: dict[str, Shape], path: Path) -> None:
    shape = shapes.get("X", ())
    if len(shape) != 4 or shape[:3] != _SVHN_SHAPE or "y" not in shapes:
        present = ", ".join(f"{name} of shape {own}" for name, own in shapes.items())
        raise DataError(
            f"{checks.shown(path)} holds {present or 'nothing'}, not images X of shape "
            "(32, 32, 3, N) and their digits y: replace it with the file of cropped digits"
        )
    checks.require_memory(int(np.prod(shape)), 1, checks.shown(path))


def _download(part: str, path: Path) -> None:
    """Download a published file under a temporary name, so that `path` is never incomplete."""
    from torchvision.datasets import SVHN
    from torchvision.datasets.utils import download_url

    url, name, md5 = SVHN.split_list[part]
    try:
        with _socket_timeout(), left_as_found(path.parent):
            download_url(url, str(path.parent), f"{name}.part", md5)
        path.with_name(f"{name}.part").replace(path)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise _unreadable(path.parent, [name], error) from error


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Make downloads fail when the network does not respond."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unreadable(folder: Path, files: Sequence[str], error: Exception) -> DataError:
    """Return the error for files that are absent or damaged."""
    reason = _reason(error)
    if all((folder / name).is_file() for name in files):
        return DataError(
            f"files in {folder} are damaged ({reason}): delete it to download them again"
        )
    return DataError(
        f"{folder} does not hold all files and they cannot be downloaded ({reason}): set "
        "TUNER_DATA_HOME to a folder with them in torchvision's layout, or connect to a network"
    )


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
