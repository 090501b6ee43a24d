"""The output layer of decoders, and the data that it can represent."""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from ...errors import DataError
from ...methods.config import Config, Scalar, setting


@dataclass(frozen=True, kw_only=True)
class DataRangeConfig(Config, ABC):
    """A configuration with a setting that decides whether data must lie in [0, 1]."""

    range_setting: ClassVar[tuple[str, str, str]]
    """The name of the setting, its value for data in [0, 1], and its value for any data."""

    @final
    @classmethod
    def forced_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return the value for any data, unless the data lie in [0, 1]."""
        name, _, unbounded = cls.range_setting
        return {} if unit_interval else {name: unbounded}


@dataclass(frozen=True, kw_only=True)
class OutputConfig(DataRangeConfig, ABC):
    """Settings of a method whose decoder returns points, not the parameters of a density."""

    range_setting = ("output", "sigmoid", "identity")
    output: str = setting(
        "sigmoid", "activation of the decoder's output", choices=("sigmoid", "identity")
    )

    def output_activation(self, x: Tensor) -> Tensor:
        """Apply the configured activation to the last layer x."""
        return torch.sigmoid(x) if self.output == "sigmoid" else x


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig(DataRangeConfig, ABC):
    """Settings of a method whose decoder returns a density of points."""

    range_setting = ("likelihood", "bernoulli", "gaussian")
    likelihood: str = setting(
        "bernoulli", "density of a point given its code", choices=("bernoulli", "gaussian")
    )


def validate_and_flatten(x: Tensor, config: DataRangeConfig) -> Tensor:
    """Return x as (N, F), or raise DataError if the configuration does not allow its range."""
    name, bounded, unbounded = config.range_setting
    if getattr(config, name) == bounded and not (x.min() >= 0 and x.max() <= 1):
        raise DataError(
            f"the data span [{x.min():g}, {x.max():g}], but {name}={bounded} needs [0, 1]: "
            f"scale the data or set {name}={unbounded}"
        )
    return x.flatten(1)
