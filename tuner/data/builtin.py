"""Facts about the datasets that have a name, known without reading or importing anything."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a dataset, known without loading it. `points` counts training and test."""

    name: str
    points: int
    shape: tuple[int, ...]
    classes: int
    source: str


def catalog() -> list[DatasetInfo]:
    """Return the datasets that `load` knows by name, starting with the default."""
    return [
        DatasetInfo("digits", 1797, (8, 8), 10, "included in scikit-learn"),
        DatasetInfo("arcs", 10_000, (2,), 5, "synthetic: five arcs of circles"),
        DatasetInfo("half_moons", 5_000, (2,), 5, "synthetic: five interlocked half-moons"),
        DatasetInfo("mnist", 70_000, (28, 28), 10, "torchvision, in TUNER_DATA_HOME"),
        DatasetInfo("fashion_mnist", 70_000, (28, 28), 10, "torchvision, in TUNER_DATA_HOME"),
        DatasetInfo("svhn", 99_289, (3, 32, 32), 10, "torchvision, in TUNER_DATA_HOME"),
    ]
