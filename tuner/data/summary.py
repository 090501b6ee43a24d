"""What a search records of its data, so that it can be reported where the data are gone."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .dataset import Dataset
    from .scaling import Shape


@final
@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """A dataset without its points: `train` and `test` are their numbers, `shape` that of one."""

    name: str
    fingerprint: str
    train: int
    test: int
    shape: "Shape"
    unit_interval: bool

    @classmethod
    def of(cls, dataset: "Dataset") -> Self:
        """Return the summary of a dataset."""
        return cls(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            train=len(dataset.train),
            test=len(dataset.test),
            shape=dataset.shape,
            unit_interval=dataset.unit_interval,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_mapping(cls, values: "Mapping[str, Any]") -> Self:
        """Return the summary from the values of `to_mapping`."""
        return cls(**{**values, "shape": tuple(values["shape"])})
