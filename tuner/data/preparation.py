"""How raw data are to be prepared: which columns are used, and how they are encoded and scaled."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, final

from ..errors import UsageError, did_you_mean

SCALES = ("auto", "standard", "robust", "log1p", "range", "unit", "none")
MISSING = ("refuse", "drop", "mean", "indicator")
INFERRED = "inferred"
"""The scale of searches recorded before there was a choice, guessed from type and extremes."""


@final
@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How raw data are read and turned into the numbers that methods are trained on.

    `columns` are the only ones to use, `drop` those to leave out. `ordinal` gives the order of the
    categories of a column. `missing` says what happens to points with missing values, and
    `missing_values` are further values that mean missing, such as -999. `scale` is one of
    `SCALES`. `layer` is the layer of an AnnData file, by default its X. `header` says whether the
    first row of a CSV file holds names, by default where it is not made of numbers. `strict`
    refuses data that would only be warned about.
    """

    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    ordinal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: str = "refuse"
    missing_values: Sequence[str | float] = ()
    scale: str = "auto"
    layer: str | None = None
    header: bool | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("columns", "drop", "missing_values"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UsageError(f"{name}={value!r} is one text: give a sequence, ({value!r},)")
            object.__setattr__(self, name, tuple(value))
        order = {name: tuple(map(str, values)) for name, values in self.ordinal.items()}
        object.__setattr__(self, "ordinal", order)
        _one_of("--missing", self.missing, MISSING)
        if self.scale != INFERRED:
            _one_of("--scale", self.scale, SCALES)
        if both := set(self.columns) & set(self.drop):
            raise UsageError(
                f"column {min(both)!r} is in --columns and in --drop: name it in one of them"
            )
        for name, values in order.items():
            if len(set(values)) < max(2, len(values)):
                raise UsageError(
                    f"--ordinal {name}={','.join(values)}: give at least 2 different categories, "
                    "from lowest to highest"
                )

    @property
    def names_columns(self) -> bool:
        """Whether it selects or describes columns, which only tables have."""
        return bool(self.columns or self.drop or self.ordinal)

    @property
    def missing_numbers(self) -> tuple[float, ...]:
        """The values that mean missing in a column of numbers."""
        numbers = []
        for value in self.missing_values:
            try:
                numbers.append(float(value))
            except ValueError:
                continue
        return tuple(number for number in numbers if not math.isnan(number))

    @property
    def missing_texts(self) -> tuple[str, ...]:
        """The values that mean missing in a column of texts."""
        return tuple(v if isinstance(v, str) else f"{v:.15g}" for v in self.missing_values)

    def with_labels_dropped(self, labels: str | None) -> "Preparation":
        """Return the preparation of points alone, without the column of labels."""
        return replace(self, columns=tuple(name for name in self.columns if name != labels))

    def to_mapping(self) -> dict[str, Any]:
        """Return the preparation as JSON values, without those that are the default."""
        default = asdict(type(self)())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the preparation from the values of `to_mapping`."""
        return cls(**values)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, where quotes enclose names with commas."""
    rows = list(csv.reader([text], skipinitialspace=True))
    return tuple(name for name in (rows[0] if rows else []) if name)


def join_names(names: Sequence[str]) -> str:
    """Return names as a list that `split_names` reads."""
    return ",".join(f'"{name}"' if "," in name else name for name in names)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise UsageError(
            f"{name} {value!r} is not usable{near}; choose one of {', '.join(allowed)}"
        )
