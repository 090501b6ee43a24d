"""How raw data are to be prepared: which columns are used, and how they are encoded and scaled."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
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

    Parameters
    ----------
    columns
        The only columns of a table to use.
    drop
        Columns to leave out.
    categories
        Columns of codes, which are categories and no measurements.
    ordinal
        The categories of a column from lowest to highest.
    missing
        What happens to points with missing values: refuse, drop, mean or indicator.
    missing_values
        Further values that mean missing, such as -999.
    scale
        How numbers are scaled: auto, standard, robust, log1p, range, unit or none.
    layer
        The layer of an AnnData file, by default its X.
    header
        Whether the first row of a CSV file holds names, by default where it is not made of
        numbers.
    strict
        Whether data that would only be warned about are refused.

    Raises
    ------
    UsageError
        If a value is not allowed, or a column is named twice.

    Examples
    --------
    >>> import tuner
    >>> tuner.Preparation(drop=("rowid", "year"), missing="mean").drop
    ('rowid', 'year')
    >>> tuner.Preparation(scale="log").scale
    Traceback (most recent call last):
    tuner.errors.UsageError: --scale 'log' is not usable; ...
    """

    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    categories: Sequence[str] = ()
    ordinal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: str = "refuse"
    missing_values: Sequence[str | float] = ()
    scale: str = "auto"
    layer: str | None = None
    header: bool | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("columns", "drop", "categories"):
            values = _sequence(name, getattr(self, name))
            object.__setattr__(self, name, tuple(map(str, values)))
        marks = self.missing_values
        marks = (marks,) if isinstance(marks, int | float) else _sequence("missing_values", marks)
        object.__setattr__(self, "missing_values", tuple(map(_mark, marks)))
        order = {
            str(name): tuple(map(str, _sequence(f"ordinal[{name!r}]", values)))
            for name, values in self.ordinal.items()
        }
        object.__setattr__(self, "ordinal", order)
        _one_of("--missing", self.missing, MISSING)
        if self.scale != INFERRED:
            _one_of("--scale", self.scale, SCALES)
        for first, second in (("columns", "drop"), ("categories", "drop")):
            if both := set(getattr(self, first)) & set(getattr(self, second)):
                raise UsageError(
                    f"column {min(both)!r} is in --{first} and in --{second}: name it in one of "
                    "them"
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
        return bool(self.columns or self.drop or self.categories or self.ordinal)

    def without(self, labels: str) -> Self:
        """Return the preparation of points alone, without the column of labels."""
        columns, drop, categories = (
            tuple(name for name in names if name != labels)
            for names in (self.columns, self.drop, self.categories)
        )
        return replace(self, columns=columns, drop=drop, categories=categories)

    def flags(self) -> list[list[str]]:
        """Return the flags of the command line that give this preparation, with their values."""
        found = [
            [f"--{name}", join_names(getattr(self, name))]
            for name in ("columns", "drop", "categories")
            if getattr(self, name)
        ]
        found += [["--ordinal", f"{k}={join_names(v)}"] for k, v in self.ordinal.items()]
        found += [[f"--missing-value={_shown(value)}"] for value in self.missing_values]
        for flag, value, default in (
            ("--missing", self.missing, "refuse"),
            ("--scale", self.scale, "auto"),
            ("--layer", self.layer, None),
        ):
            found += [] if value == default else [[flag, str(value)]]
        if self.header is not None:
            found.append(["--header" if self.header else "--no-header"])
        return [*found, ["--strict"]] if self.strict else found

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
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UsageError(
            f"{text!r} is not a list of names ({error}): separate names by commas, and enclose "
            "those with commas, quotes or line breaks in double quotes"
        ) from None
    return tuple(name for row in rows for name in row if name)


def join_names(names: Sequence[str]) -> str:
    """Return names as a list that `split_names` reads."""
    out = io.StringIO()
    csv.writer(out).writerow(names)
    return out.getvalue().removesuffix("\r\n")


def _sequence(name: str, value: object) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, str):
        raise UsageError(f"{name}={value!r} is one text: give a sequence, ({value!r},)")
    if not isinstance(value, Iterable):
        raise UsageError(f"{name}={value!r} is no sequence: give ({value!r},)")
    return tuple(value)


def _mark(value: Any) -> str | float:
    """Return a value that means missing as a text or a number, which JSON can hold."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, str | int | float):
        raise UsageError(f"missing_values with {value!r}: give numbers and texts only")
    return value


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else repr(value)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = did_you_mean(str(value), allowed)
        raise UsageError(
            f"{name} {value!r} is not usable{near}; choose one of {', '.join(allowed)}"
        )
