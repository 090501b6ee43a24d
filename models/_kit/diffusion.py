"""Averages over neighbourhoods: clusters follow the shape of the data before they are learnt.

Near points mostly share a cluster, so the evidence for it at a point's neighbours says as much as
that at the point itself. Averaged over a neighbourhood it is far less noisy, and EM from a random
start needs a few M-steps in place of hundreds.
"""

from abc import ABC
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.config import Config, setting
from .neighbours import evenly_spaced, nearest_references

_NEIGHBOURS = 10
_REFERENCES = 10_000
_START_STEPS = 200
_START_SHARPNESS = 4.0


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(Config, ABC):
    """Settings of an E-step that averages over neighbourhoods."""

    diffusion_steps: int = setting(
        16,
        "steps over near neighbours by which the first E-step averages, as a random start does; "
        "0 for none, as in the paper",
        low=0,
        high=1000,
    )
    diffusion_decay: float = setting(
        0.8, "factor of these steps from one E-step to the next, down to one", low=0.0, high=1.0
    )

    def diffusion(self, x: Tensor) -> "Diffusion":
        """Return the averages over the neighbourhoods of points x (N, F)."""
        return Diffusion(x, self.diffusion_steps, self.diffusion_decay)


@final
class Diffusion:
    """Averages over the neighbourhoods of N points.

    A step takes the mean of a point and its neighbours, the ten nearest among at most 10,000
    reference points, which are evenly spaced in the order of the points. Without steps nothing is
    averaged.

    The averaged log-likelihoods of an E-step are those of a neighbourhood that shares a cluster.
    Clustering of Spatial Data by the EM Algorithm (Ambroise, Dang, Govaert, 1997) adds the
    neighbours' responsibilities instead.
    """

    def __init__(self, x: Tensor, steps: int, decay: float) -> None:
        self.steps, self.decay = steps, decay
        if steps:
            self.references = evenly_spaced(x, _REFERENCES)
            k = min(_NEIGHBOURS, len(self.references) - 1)
            self.nearest = nearest_references(x, self.references, k)

    def average(self, values: Tensor, iteration: int) -> Tensor:
        """Return values (R, N, K) averaged by the steps of an iteration, counted from 0."""
        if self.steps == 0:
            return values
        return self._walk(values, max(1, round(self.steps * self.decay**iteration)))

    def start(self, u: Tensor) -> Tensor:
        """Return random responsibilities u (R, N, K) as ones that neighbours share.

        After many steps only differences between regions are left. They are scaled to a standard
        deviation of 4 in every cluster and taken as log-odds.
        """
        if self.steps == 0:
            return u
        smooth = self._walk(u, _START_STEPS)
        deviation = smooth.std(1, correction=0, keepdim=True)
        centred = smooth - smooth.mean(1, keepdim=True)
        tiny = torch.finfo(u.dtype).eps
        return (_START_SHARPNESS * centred / deviation.clamp(min=tiny)).softmax(-1)

    def _walk(self, values: Tensor, steps: int) -> Tensor:
        """Return values (R, N, K) after so many steps."""
        k = self.nearest.shape[1]
        if k == 0:
            return values
        walked = values.transpose(0, 1).flatten(1)
        for _ in range(steps):
            sums = F.embedding_bag(self.nearest, walked[self.references], mode="sum")
            walked = (walked + sums) / (k + 1)
        return walked.unflatten(1, (len(values), -1)).transpose(0, 1).contiguous()
