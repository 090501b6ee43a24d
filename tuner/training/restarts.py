"""Restarts: candidates of each replica train side by side, and the better half goes on.

With F restarts a trial of R replicas trains R·F seeds; candidate j of replica r has the seed at
index j·R + r. Only candidates of the same replica compete, so that the R that are left remain
independent draws, and their mean and standard deviation those of training with F restarts.
Methods are asked in the same order: with C candidates left per replica, position p belongs to
replica p mod R. Non-stochastic Best Arm Identification and Hyperparameter Optimization (Jamieson,
Talwalkar, 2016), section 3, within a trial.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, final

import numpy as np
from numpy.typing import NDArray

from .evaluations import interval

if TYPE_CHECKING:
    from ..evaluation.objective import PartitionScores
    from .trial_inputs import TrialSpec

Standing = NDArray[np.float64]
Positions = NDArray[np.int64]

CUT_WITHIN = 3
"""The last cut comes after this part, here a third, of the passes.

By then the score tells seeds that end in a bad optimum from others, and most of the time is still
to come, which is spent on one candidate per replica.
"""


def cuts(restarts: int) -> int:
    """Return how often the candidates of a replica are halved until one is left: ⌈log₂ F⌉."""
    return (restarts - 1).bit_length()


def cut_passes(restarts: int, passes: int) -> list[int]:
    """Return the pass after which each cut is due, at the next evaluation with clusters."""
    count = cuts(restarts)
    return [-(-cut * passes // (CUT_WITHIN * count)) for cut in range(1, count + 1)]


def left_at(restarts: int, epoch: int, passes: int) -> int:
    """Return how many candidates of a replica go on after an evaluation with clusters."""
    left = restarts
    for due in cut_passes(restarts, passes):
        if epoch >= due:
            left = -(-left // 2)
    return left


def halvings(restarts: int, passes: int) -> list[int]:
    """Return after which passes candidates are halved if there are clusters from the start."""
    every = interval(passes)
    return sorted({min(-(-due // every) * every, passes) for due in cut_passes(restarts, passes)})


def mean_left(restarts: int, epoch: int, passes: int) -> float:
    """Return how many candidates of a replica make a pass after `epoch`, on average.

    It is what restarts cost: from the start, 1.67 passes of a single candidate for each pass of
    four. A training that has no clusters yet costs more, since nothing can be cut before.
    """
    left, extra = restarts, 0
    for due in cut_passes(restarts, passes):
        extra += (left - -(-left // 2)) * max(due - epoch, 0)
        left = -(-left // 2)
    return 1.0 + extra / (passes - epoch) if epoch < passes else 1.0


def standing(scores: "PartitionScores") -> Standing:
    """Return by what candidates are compared, (C·R,): the score, lowest if unusable."""
    unusable = np.where(scores.diverged, -np.inf, np.finfo(np.float64).min)
    return np.where(scores.diverged | scores.collapsed, unusable, scores.score)


def leading(found: Standing, replicas: int) -> Positions:
    """Return the position of the best candidate of each replica, (R,), the first of equals."""
    return survivors(found, replicas, 1)


def survivors(found: Standing, replicas: int, keep: int) -> Positions:
    """Return the positions, (keep·R,), of the best candidates of each replica, in their order."""
    order = np.argsort(-found.reshape(-1, replicas), axis=0, kind="stable")
    kept = np.sort(order[:keep], axis=0)
    return (kept * replicas + np.arange(replicas)).ravel()


@final
@dataclass(frozen=True)
class Candidates:
    """Which candidates of a trial are left, as indices of its seeds, in the order of replicas."""

    all_seeds: tuple[int, ...]
    replicas: int
    left: tuple[int, ...]

    @classmethod
    def of(cls, spec: "TrialSpec") -> Self:
        """Return all candidates of a trial."""
        return cls(spec.seeds, spec.replicas, tuple(range(len(spec.seeds))))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of those that are left."""
        return tuple(self.all_seeds[index] for index in self.left)

    @property
    def count(self) -> int:
        """How many candidates each replica has left."""
        return len(self.left) // self.replicas

    def at(self, positions: Positions) -> Self:
        """Return only the candidates at some positions among those that are left."""
        return replace(self, left=tuple(self.left[position] for position in positions))
