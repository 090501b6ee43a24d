"""Raw data of a source, before anything is known about them but their form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from .scaling import Array

Labels = NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Content:
    """Raw data of a source: points, classes (N,), and a test part if published.

    Points `x` are an array (N, *shape), or the columns of a table by name, each of shape (N,) or,
    for vectors, (N, width). `columns` are the names of the columns if they have any. `unit`
    divides all features if the source knows it, such as the largest value of a pixel.
    `label_column` is the column of labels of a table. `label_names` are names of the sorted
    classes, if they have other names than their values. `row_names` are names of the rows, those
    of the test part last, under a heading, where the source has any, such as the files of images.
    `notes` are sentences about what was left out, and `warnings` about what is probably not meant.
    """

    x: Array | Mapping[str, Any]
    y: Array | None = None
    x_test: Array | None = None
    y_test: Array | None = None
    unit: float | None = None
    columns: tuple[str, ...] = ()
    label_column: str = ""
    label_names: tuple[str, ...] = ()
    row_heading: str = ""
    row_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether points are rows of a table: features without an arrangement."""
        return isinstance(self.x, Mapping) or self.x.ndim == 2
