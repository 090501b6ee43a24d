"""Loads datasets by name, and files and folders by path."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError, did_you_mean
from . import checks
from .content import Content
from .dataset import Dataset, prepare_dataset
from .formats import files, images, memory, synthetic
from .formats.blockwise import Source
from .large import large_source, load_large
from .preparation import Preparation

_LOADERS: dict[str, Callable[[], Content]] = {
    "digits": images.digits,
    "arcs": lambda: Content(*synthetic.arcs()),
    "half_moons": lambda: Content(*synthetic.half_moons(), unit=1.0),
    "mnist": images.mnist,
    "fashion_mnist": images.fashion_mnist,
    "svhn": images.svhn,
}


def load(spec: Any, *, labels: Any = None, preparation: Preparation | None = None) -> Dataset:
    """Return a dataset by its name in `catalog`, from a file or a folder of images, or in memory.

    In memory, it is a data frame, a mapping of columns, or an array of points. `labels` names the
    column of a table that holds the classes, or holds those of an array. They are kept for audits
    and never affect scaling, split or training. Raises DataError.
    """
    if (found := large_file(spec, labels=labels, preparation=preparation)) is not None:
        return load_large(_name(found.path), found, preparation or Preparation())
    name, content, where = read(spec, labels=labels, preparation=preparation)
    return prepare_dataset(name, content, where=where, preparation=preparation)


def large_file(
    spec: Any, *, labels: Any = None, preparation: Preparation | None = None
) -> Source | None:
    """Return the source of a file that is too large to be held in memory, None for others."""
    if isinstance(spec, Path):
        spec = str(spec)
    if not isinstance(spec, str) or spec in _LOADERS:
        return None
    path = _path(spec)
    return large_source(path, labels, preparation or Preparation(), checks.shown(path))


def read(
    spec: Any, *, labels: Any = None, preparation: Preparation | None = None
) -> tuple[str, Content, str]:
    """Return the name of a dataset, its raw content, and how error messages call it."""
    if isinstance(spec, Path):
        spec = str(spec)
    if not isinstance(spec, str):
        return "data", memory.content(spec, labels), memory.WHERE
    if spec in _LOADERS:
        if labels is not None:
            raise DataError(
                f"labels={labels!r} names a column of a table, but {spec} already has labels: "
                "leave out labels"
            )
        files.require_applicable(Path(spec), preparation or Preparation())
        return spec, _LOADERS[spec](), spec
    path = _path(spec)
    return _name(path), files.read(path, labels, preparation), checks.shown(path)


def _path(spec: str) -> Path:
    """Return the path in `spec`. Raises DataError if it can only be a name or a URL."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", spec):
        scheme = spec.partition("://")[0]
        raise DataError(
            f"{scheme}:// addresses are not supported: copy the data to a file and give its path"
        )
    if not spec.strip() or (os.sep not in spec and "." not in spec and not os.path.exists(spec)):
        raise DataError(
            f"there is no dataset {spec!r}{did_you_mean(spec.lower(), _LOADERS)}: give one of "
            f"{', '.join(_LOADERS)}, or the path of a folder of images or of a file with one of "
            f"{', '.join(files.EXTENSIONS)}"
        )
    try:
        return Path(spec).expanduser()
    except RuntimeError as error:  # the home folder of an unknown user
        raise DataError(
            f"{spec!r} names a home folder that does not exist: give the full path"
        ) from error


def _name(path: Path) -> str:
    """Return a slug for a file that differs from all names in the catalog."""
    stem = path.name if path.stem in _LOADERS else path.stem
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]
    return slug or "data"
