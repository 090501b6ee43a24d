"""From raw points to numbers and back; arrays are numbers already.

Encoders are stored with each model and copied into registered ones. They hold only JSON values,
from which scikit-learn's transformers are built when they are needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..errors import DataError
from .numeric import numeric_array
from .scaling import Array, Shape
from .table import cells


@dataclass(frozen=True)
class Encoder(ABC):
    """Maps raw points to numbers (N, *shape) and back."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """The shape of one encoded point."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that raw points must have, () if they have none."""
        return ()

    @abstractmethod
    def encode(self, raw: Any) -> Array:
        """Return raw points as numbers (N, *shape), or raise DataError."""

    @abstractmethod
    def decode(self, numbers: Array) -> Any:
        """Return encoded points in the form of raw ones."""

    @abstractmethod
    def to_mapping(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""


@final
@dataclass(frozen=True)
class ArrayEncoder(Encoder):
    """Points of one shape, which may be given flat; `channels_last` images are turned."""

    point: Shape
    channels_last: bool = False

    @property
    def shape(self) -> Shape:
        """The shape of one encoded point, channels first."""
        return (self.point[-1], *self.point[:-1]) if self.channels_last else self.point

    def encode(self, raw: Any) -> Array:
        """Return raw points, of shape (N, *point) or flat, as numbers (N, *shape)."""
        table = cells.as_table(raw)
        if table is not None:
            raw = _stacked(table)
        points = numeric_array(raw, self.point).reshape(-1, *self.point)
        return np.moveaxis(points, -1, 1) if self.channels_last else points

    def decode(self, numbers: Array) -> Array:
        """Return encoded points (N, *shape) as raw ones (N, *point)."""
        return np.moveaxis(numbers, 1, -1) if self.channels_last else numbers

    def to_mapping(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""
        return {"kind": "array", "point": list(self.point), "channels_last": self.channels_last}


def _stacked(table: Mapping[str, Any]) -> Array:
    """Return a table of numbers as an array (N, columns)."""
    columns = [cells.numbers(values, name) for name, values in table.items()]
    if len({len(column) for column in columns}) != 1:
        raise DataError("the table has no columns of one length: give one value per row in each")
    return np.stack(columns, axis=1)
