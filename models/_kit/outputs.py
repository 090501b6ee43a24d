"""What a network ends with that makes points, and which data it reaches."""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from ...errors import DataError
from ...methods.config import Config, Scalar, setting


@dataclass(frozen=True, kw_only=True)
class ReachConfig(Config, ABC):
    """A configuration one setting of which says whether points have to lie in [0, 1]."""

    reach: ClassVar[tuple[str, str, str]]
    """The setting's name, its value for data in [0, 1], and that for any data."""

    @final
    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return the value for any data, for data that leave [0, 1]."""
        name, _, anywhere = cls.reach
        return {} if unit_interval else {name: anywhere}


@dataclass(frozen=True, kw_only=True)
class OutputConfig(ReachConfig, ABC):
    """What a method has to be told whose decoder gives points, not parameters of a density."""

    reach = ("output", "sigmoid", "identity")
    output: str = setting(
        "sigmoid", "what the network ends with that makes points", choices=("sigmoid", "identity")
    )

    def bounded(self, x: Tensor) -> Tensor:
        """Return the points that the last layer means by x."""
        return torch.sigmoid(x) if self.output == "sigmoid" else x


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig(ReachConfig, ABC):
    """What a method has to be told that makes points by a density."""

    reach = ("likelihood", "bernoulli", "gaussian")
    likelihood: str = setting(
        "bernoulli", "of a point given its code", choices=("bernoulli", "gaussian")
    )


def flattened(x: Tensor, config: ReachConfig) -> Tensor:
    """Return x as (N, F), or raise DataError where the configuration does not reach it."""
    name, inside, anywhere = config.reach
    if getattr(config, name) == inside and not (x.min() >= 0 and x.max() <= 1):
        raise DataError(
            f"the data span [{x.min():g}, {x.max():g}], and {name}={inside} needs [0, 1]: "
            f"scale them or set {name}={anywhere}"
        )
    return x.flatten(1)
