"""What a network ends with that makes points, and which data it reaches."""

from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError
from ..method import Config, Scalar, setting


@dataclass(frozen=True, kw_only=True)
class OutputConfig(Config, ABC):
    """What a method has to be told that makes points by a squared error or by forging them."""

    output: str = setting(
        "sigmoid", "what the network ends with that makes points", choices=("sigmoid", "identity")
    )

    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return an output without bounds for data that leave [0, 1]."""
        return {} if unit_interval else {"output": "identity"}

    def bounded(self, x: Tensor) -> Tensor:
        """Return the points that the last layer means by x."""
        return torch.sigmoid(x) if self.output == "sigmoid" else x


def flattened(x: Tensor, config: OutputConfig) -> Tensor:
    """Return x as (N, F), or raise DataError where the output cannot reach it."""
    if config.output == "sigmoid" and (x.min() < 0 or x.max() > 1):
        raise DataError(
            f"the data span [{x.min():g}, {x.max():g}], and output=sigmoid reaches [0, 1]: "
            "scale them or set output=identity"
        )
    return x.flatten(1)
