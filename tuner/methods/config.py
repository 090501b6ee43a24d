"""Settings of a method: the `Config` base class and the `setting` fields that it is made of.

```python
@dataclass(frozen=True, kw_only=True)
class MyConfig(Config):
    epochs: int = setting(50, "passes over the data", low=1)
    learning_rate: float = setting(1e-3, "step size of Adam", low=0.0)
```

Types, bounds and choices are checked when a configuration is built, and again for every search
space. `tuner methods NAME` prints meanings and units.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, final, get_type_hints

from ..errors import UsageError, did_you_mean

Scalar = bool | int | float | str


def setting(
    default: Scalar,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Scalar] = (),
) -> Any:
    """Return a dataclass field with a meaning, a unit and either inclusive bounds or choices."""
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """How to read a reported metric: its unit, and named reference levels to draw beside it."""

    unit: str = ""
    levels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Config(ABC):
    """Base class of a method's hyperparameters, with the paper's values as defaults.

    Subclasses are frozen, keyword-only dataclasses whose fields are made by `setting`. A value of
    the wrong type or out of range raises UsageError.
    """

    n_components: int = setting(10, "number of clusters K", low=2)

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = _validated(f, types[f.name], getattr(self, f.name))
            object.__setattr__(self, f.name, value)

    @property
    @abstractmethod
    def passes(self) -> int:
        """Number of passes over the data in a complete training, over all stages."""

    @abstractmethod
    def capped(self, epochs: int) -> Self:
        """Return this configuration with its schedule shortened to at most `epochs` passes.

        Three passes must be enough for a training to end with clusters.
        """

    def metric_info(self) -> Mapping[str, MetricInfo]:
        """Return how to read reported metrics, by name. Metrics may be left out."""
        return {}

    @property
    def pretraining(self) -> Mapping[str, Scalar]:
        """Every setting that the pretrained network depends on; empty without pretraining.

        Trials for which these are equal share one pretrained network.
        """
        return {}

    @classmethod
    def forced_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return the settings for which the data allow only one value; these are not searched.

        `unit_interval` says whether all values of the data lie in [0, 1].
        """
        del unit_interval
        return {}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from settings by name. Raises UsageError for an unknown name."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise UsageError(
                    f"no setting {name!r}{did_you_mean(name, names)}; allowed: {', '.join(names)}"
                )
        return cls(**values)

    @final
    def to_mapping(self) -> dict[str, Scalar]:
        """Return all settings as JSON scalars."""
        return dataclasses.asdict(self)


def _validated(f: "dataclasses.Field[Any]", kind: Any, value: Any) -> Any:
    """Return `value` as the declared type. Raises UsageError if type or range do not fit."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):  # refused below, as it stays an integer
            value = float(value)
    if type(value) is not kind or (kind is float and math.isnan(value)):
        raise UsageError(f"{f.name}={value!r} is not usable: give a value of type {kind.__name__}")
    low, high, choices = (f.metadata.get(key) for key in ("low", "high", "choices"))
    if choices and value not in choices:
        allowed = ", ".join(map(str, choices))
        raise UsageError(f"{f.name}={value!r} is not allowed: choose one of {allowed}")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low:g}" if high is None else f"between {low or 0:g} and {high:g}"
        raise UsageError(f"{f.name}={value!r} is out of range: give a value {bounds}")
    return value
