"""One column of a table, as it is encoded: what a model needs to know about it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, final

NUMBER, BOOLEAN, CATEGORY, ORDINAL, VECTOR, CONSTANT = (
    "number",
    "boolean",
    "category",
    "ordinal",
    "vector",
    "constant",
)
CODE = "code"
"""What the features of booleans and ordinals are, which are numbers but no counts."""

INDICATOR = "indicator"
"""What the features are that say where a value was missing."""

_KINDS = (NUMBER, BOOLEAN, CATEGORY, ORDINAL, VECTOR, CONSTANT)


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table and the features that it becomes.

    A category becomes one feature per value in `categories`, an ordinal one the place of its value
    in them, a vector `width` features, and a constant, whose only value is `value`, none. Missing
    cells become `fill`, and are refused without it. `indicator` adds a feature that is 1 where the
    cell was missing.
    """

    name: str
    kind: str = NUMBER
    categories: tuple[str, ...] = ()
    width: int = 1
    fill: float | str | None = None
    indicator: bool = False
    value: float | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(self.categories))
        text = self.kind in (CATEGORY, ORDINAL)
        if (
            not isinstance(self.name, str)
            or self.kind not in _KINDS
            or not all(isinstance(value, str) for value in self.categories)
            or len(set(self.categories)) < max(len(self.categories), text)
            or type(self.width) is not int
            or self.width < 1
            or (
                not isinstance(self.fill, str if text else float | int | None)
                and self.fill is not None
            )
            or (text and self.fill is not None and self.fill not in self.categories)
            or (isinstance(self.fill, float) and math.isinf(self.fill))
            or not isinstance(self.indicator, bool)
            or not isinstance(self.value, str | float | int | None)
        ):
            raise ValueError(f"column {self.name!r} of kind {self.kind!r} makes no sense")

    @property
    def plain(self) -> bool:
        """Whether its cells are its features as they are."""
        return self.kind in (NUMBER, BOOLEAN, VECTOR) and self.fill is None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features, without an indicator."""
        if self.kind == CATEGORY:
            return tuple(f"{self.name}={value}" for value in self.categories)
        if self.kind == VECTOR:
            return tuple(f"{self.name}[{i}]" for i in range(self.width))
        return () if self.kind == CONSTANT else (self.name,)

    def to_mapping(self) -> dict[str, Any]:
        """Return the column as JSON values, without those that are the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            "name": self.name,
            **{key: value for key, value in values.items() if value != _DEFAULT[key]},
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the column from the values of `to_mapping`."""
        return cls(**values)


_DEFAULT = asdict(Column(name=""))
