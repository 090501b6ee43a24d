"""Data sets by name, and files and folders by path."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..errors import DataError, did_you_mean
from . import checks, files, images, synthetic
from .dataset import Content, Dataset, prepared
from .scaling import Shape


@final
@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it; `points` counts training and test."""

    name: str
    points: int
    shape: Shape
    classes: int
    source: str


def catalog() -> list[DatasetInfo]:
    """Return the data sets that `load` knows by name, the default first."""
    return [
        DatasetInfo("digits", 1797, (8, 8), 10, "ships inside scikit-learn"),
        DatasetInfo("arcs", 10_000, (2,), 5, "made here: five arcs of circles"),
        DatasetInfo("half_moons", 5_000, (2,), 5, "made here: five interlocked half-moons"),
        DatasetInfo("mnist", 70_000, (28, 28), 10, "torchvision, in TUNER_DATA_HOME"),
        DatasetInfo("fashion_mnist", 70_000, (28, 28), 10, "torchvision, in TUNER_DATA_HOME"),
        DatasetInfo("svhn", 99_289, (3, 32, 32), 10, "torchvision, in TUNER_DATA_HOME"),
    ]


_MAKERS: dict[str, Callable[[], Content]] = {
    "digits": images.digits,
    "arcs": lambda: Content(*synthetic.arcs()),
    "half_moons": lambda: Content(*synthetic.half_moons(), unit=1.0),
    "mnist": images.mnist,
    "fashion_mnist": images.fashion_mnist,
    "svhn": images.svhn,
}


def load(spec: str, *, labels: str | None = None) -> Dataset:
    """Return the data set of a name in `catalog`, of a file, or of a folder of images.

    `labels` names the column of a table that holds the classes; they are kept for audits and
    never reach scaling, split or training. Raises DataError.
    """
    if spec in _MAKERS:
        if labels is not None:
            raise DataError(
                f"labels={labels!r} names a column of a table, and {spec} brings its own labels: "
                "leave labels out"
            )
        return prepared(spec, _MAKERS[spec](), where=spec)
    path = _path(spec)
    return prepared(_name(path), files.read(path, labels), where=checks.shown(path))


def _path(spec: str) -> Path:
    """Return the path that `spec` means, or raise where it can only be a name or an address."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", spec):
        scheme = spec.partition("://")[0]
        raise DataError(
            f"addresses such as {scheme}:// are not read: copy the data to a file, give its path"
        )
    if not spec.strip() or (os.sep not in spec and "." not in spec and not os.path.exists(spec)):
        raise DataError(
            f"there is no data set {spec!r}{did_you_mean(spec.lower(), _MAKERS)}: give one of "
            f"{', '.join(_MAKERS)}, or the path of a folder of images or of a file that ends in "
            f"{', '.join(files.ENDINGS)}"
        )
    try:
        return Path(spec).expanduser()
    except RuntimeError as error:  # ~ of a person who is not known here
        raise DataError(
            f"{spec!r} names a home folder that is not there: give it in full"
        ) from error


def _name(path: Path) -> str:
    """Return a name for a file that is a slug and not that of a data set in the catalog."""
    stem = path.name if path.stem in _MAKERS else path.stem
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]
    return slug if slug else "data"
