"""From the columns of a raw table to features and back."""

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, did_you_mean
from ..encoding import Encoder
from ..numeric import numeric_array
from ..scaling import Array, Shape
from . import cells, coding
from .columns import (
    BOOLEAN,
    CATEGORY,
    CODE,
    CONSTANT,
    INDICATOR,
    NUMBER,
    ORDINAL,
    VECTOR,
    Column,
)


@final
@dataclass(frozen=True)
class TableEncoder(Encoder):
    """The columns of a table, found by name, or by position unless it is `named`.

    `missing` are the values that mean missing, besides NaN and empty cells. `width` is the number
    of columns in the training data, of which some may not be used. `layer` is that of an AnnData
    file, and `ignored` are columns that were left out on purpose.
    """

    columns: tuple[Column, ...]
    named: bool = True
    missing: tuple[str | float, ...] = ()
    width: int = 0
    layer: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """The shape of one encoded point, (features,)."""
        return (len(self.features),)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, those of indicators last."""
        own = [feature for column in self.columns for feature in column.features]
        return (*own, *(f"{column.name} missing" for column in self.columns if column.indicator))

    @cached_property
    def segments(self) -> tuple[tuple[str, int, int], ...]:
        """The kinds of features with their first and last position: (kind, start, stop).

        Columns of numbers in a row are one segment, each other column is one of its own.
        """
        found: list[tuple[str, int, int]] = []
        for column in self.columns:
            width = len(column.features)
            kind = CODE if column.kind in (BOOLEAN, ORDINAL) else column.kind
            start = found[-1][2] if found else 0
            if kind in (NUMBER, CODE) and found and found[-1][0] == kind:
                found[-1] = (kind, found[-1][1], start + width)
            elif width:
                found.append((kind, start, start + width))
        start = found[-1][2] if found else 0
        if len(self.features) > start:
            found.append((INDICATOR, start, len(self.features)))
        return tuple(found)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that raw points must have, () if they have none."""
        return tuple(c.name for c in self._used) if self.named else ()

    @cached_property
    def _used(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind != CONSTANT)

    @cached_property
    def _numeric(self) -> bool:
        return not any(column.kind in (CATEGORY, ORDINAL) for column in self.columns)

    def encode(self, raw: Any) -> Array:
        """Return the rows of a table, or of an array in the order of its columns, (N, features).

        Raises DataError with the names of columns that are missing, and warns about others.
        """
        table = cells.as_table(raw)
        if table is None and self._numeric:
            return self._encode_array(raw)
        columns = self._unnamed(raw) if table is None else self._found(table)
        lengths = {len(values) for values in columns.values()}
        if lengths == {0}:
            raise DataError("the table has no rows: give at least one")
        if len(lengths) > 1:
            raise DataError(
                f"the columns have different lengths ({min(lengths)} to {max(lengths)}): give one "
                "value per row in each"
            )
        parts = [self._encode_column(columns[c.name], c) for c in self._used]
        indicators = [part[1][:, None] for part in parts if part[1] is not None]
        return np.concatenate([*(part[0] for part in parts), *indicators], axis=1)

    def decode(self, numbers: Array) -> Any:
        """Return encoded points as a data frame if the columns have names, else as an array."""
        count = sum(column.indicator for column in self.columns)
        indicators = iter(np.asarray(numbers).T[len(self.features) - count :])
        columns: dict[str, Any] = {}
        start = 0
        for column in self.columns:
            stop = start + len(column.features)
            values = coding.decoded(numbers[:, start:stop], column)
            if column.indicator:
                values = np.where(next(indicators) > 0.5, *coding.gap(column, values))
            columns[column.name], start = values, stop
        if not self.named and self._numeric:
            return np.concatenate([c.reshape(len(numbers), -1) for c in columns.values()], axis=1)
        import pandas as pd

        used = self._used if self.named else self.columns
        return pd.DataFrame(
            {c.name: list(v) if (v := columns[c.name]).ndim == 2 else v for c in used}
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""
        return {
            "kind": "table",
            "named": self.named,
            "missing": list(self.missing),
            "width": self.width,
            "layer": self.layer,
            "ignored": list(self.ignored),
            "columns": [column.to_mapping() for column in self.columns],
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the encoder from the values of `to_mapping`."""
        columns = tuple(map(Column.from_mapping, values["columns"]))
        missing, layer = tuple(values["missing"]), values.get("layer")
        cells.require_unique([column.name for column in columns], "it")
        if not all(type(mark) in (str, int, float) for mark in missing):
            raise ValueError(f"its marks {missing} are neither texts nor numbers")
        ignored = tuple(map(str, values.get("ignored", ())))
        if not isinstance(layer, str | None) or not isinstance(values["named"], bool):
            raise ValueError(f"its layer {layer!r} or named={values['named']!r} makes no sense")
        return cls(columns, values["named"], missing, int(values["width"]), layer, ignored)

    def _encode_array(self, raw: Any) -> Array:
        """Return numbers in the order of the columns, with or without constant ones."""
        raw = self._at_own_positions(raw)
        width = sum(column.width for column in self.columns)
        used = sum(column.width for column in self._used)
        given = np.shape(raw) if isinstance(raw, np.ndarray) else ()
        short = used < width and math.prod(given[1:]) == used
        points = numeric_array(raw, (used if short else width,), self.names)
        points = points.reshape(len(points), -1)
        if used < width and not short:
            kept = [np.full(column.width, column.kind != CONSTANT) for column in self.columns]
            points = points[:, np.concatenate(kept)]
        plain = all(column.plain and not column.indicator for column in self._used)
        gaps = points.dtype.kind == "f" and bool(np.isnan(points).any())
        if plain and not self.missing and not gaps:
            return points
        return self._filled(points.astype(np.float64))

    def _filled(self, points: NDArray[np.float64]) -> Array:
        """Return numbers (N, used) with values in place of missing ones, and indicators."""
        widths = [column.width for column in self._used]
        single = np.repeat([column.kind != VECTOR for column in self._used], widths)
        marks = cells.as_numbers(self.missing)
        if marks:
            points[np.isin(points, marks) & single] = np.nan
        gone = np.isnan(points)
        refused = np.repeat([column.fill is None for column in self._used], widths)
        if (gone & refused & single).any():
            j = int((gone & refused & single).any(axis=0).argmax())
            column = self._used[int(np.searchsorted(np.cumsum(widths), j, "right"))]
            self._require_filled(np.asarray(gone[:, j]), column)
        fills = [
            np.nan if not isinstance(column.fill, float | int) else float(column.fill)
            for column in self._used
        ]
        starts = np.cumsum([0, *widths[:-1]])
        indicated = [s for s, c in zip(starts, self._used, strict=True) if c.indicator]
        points = np.where(gone, np.repeat(fills, widths), points)
        return np.concatenate([points, gone[:, indicated]], axis=1)

    def _found(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the columns of this encoder, or raise DataError with those that are missing."""
        if not self.named:
            return self._by_position(list(table.values()), list(table))
        missing = [column.name for column in self._used if column.name not in table]
        known = {column.name for column in self.columns}.union(self.ignored)
        extra = [name for name in table if name not in known]
        if missing:
            near = did_you_mean(missing[0], extra)
            has = f"; it has {cells.listing(extra)} instead" if extra else ""
            raise DataError(
                f"the table has no column{'s' * (len(missing) > 1)} {cells.listing(missing)}{near}"
                f"{has}: name the columns as in the training data"
            )
        if extra:
            warnings.warn(
                f"ignored {len(extra)} column{'s' * (len(extra) > 1)} that the model does not "
                f"use: {cells.listing(extra)}",
                stacklevel=4,
            )
        return {column.name: table[column.name] for column in self._used}

    def _unnamed(self, raw: Any) -> Mapping[str, Any]:
        try:
            points = np.asarray(raw, dtype=object)
        except ValueError:
            points = np.empty(0, object)
        if points.ndim != 2 or 0 in points.shape:
            names = [column.name for column in self._used]
            raise DataError(
                f"data of shape {points.shape} do not fit the model: give a table with the "
                f"columns {cells.listing(names)}"
            )
        return self._by_position(list(points.T), list(map(str, range(points.shape[1]))))

    def _at_own_positions(self, raw: Any) -> Any:
        """Return the columns that an encoder without names uses, of an array with further ones."""
        if isinstance(raw, list | tuple):
            with contextlib.suppress(ValueError):  # a ragged list is told later
                raw = np.asarray(raw)
        given = np.shape(raw) if isinstance(raw, np.ndarray) else ()
        if len(given) != 2 or not self._are_among(given[1]):
            return raw
        return raw[:, [int(column.name) for column in self.columns]]

    def _are_among(self, width: int) -> bool:
        """Return whether the columns are some of `width` ones, by their positions."""
        return not self.named and len(self.columns) < width == self.width

    def _by_position(self, values: Sequence[Any], names: Sequence[str]) -> Mapping[str, Any]:
        if self._are_among(len(values)):
            return {column.name: values[int(column.name)] for column in self.columns}
        for columns in (self.columns, self._used):
            if len(columns) == len(values):
                return {c.name: v for c, v in zip(columns, values, strict=True)}
        raise DataError(
            f"the table has the columns {cells.listing(names)} but the model was trained on "
            f"{len(self.columns)} columns{'' if self.named else ' without names'}: give these in "
            "their order, and name a column of labels with --labels"
        )

    def _encode_column(
        self, values: Any, column: Column
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the features (N, width) of a column, and where it has no value if indicated."""
        if column.kind == VECTOR:
            return coding.vectors(values, column), None
        if column.kind in (CATEGORY, ORDINAL):
            texts = cells.texts(values, column.name, self.missing)
            gone = np.array([text is None for text in texts], np.bool_)
            self._require_filled(gone, column)
            texts[gone] = column.fill
            features = coding.coded(texts, column)
        else:
            read = cells.booleans if column.kind == BOOLEAN else cells.numbers
            features = read(values, column.name, self.missing)[:, None]
            gone = np.isnan(features[:, 0])
            self._require_filled(gone, column)
            if isinstance(column.fill, float | int):
                features = np.where(gone[:, None], column.fill, features)
        return features, gone.astype(np.float64) if column.indicator else None

    def _require_filled(self, gone: NDArray[np.bool_], column: Column) -> None:
        if column.fill is None and gone.any():
            name = f"column {column.name!r}" if self.named else f"column {column.name}"
            raise DataError(
                f"{name} has no value in row {int(gone.argmax())} (counted from 0), and the model "
                "was trained without missing values in it: fill it in or drop the row"
            )
