"""One column of a table, as it is encoded: what a model needs to know about it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, final

NUMBER, BOOLEAN, CATEGORY, ORDINAL, VECTOR, CONSTANT = (
    "number",
    "boolean",
    "category",
    "ordinal",
    "vector",
    "constant",
)
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
        if self.kind not in _KINDS:
            raise ValueError(f"column {self.name!r} has the unknown kind {self.kind!r}")
        object.__setattr__(self, "categories", tuple(self.categories))

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
        default = asdict(type(self)(name=self.name))
        values = {key: value for key, value in asdict(self).items() if value != default[key]}
        return {"name": self.name, **values}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the column from the values of `to_mapping`."""
        return cls(**values)
