"""The time that a search still needs, from the work that is left.

A running trial has passes left, at the pace of its own last evaluations. A trial to come costs
what a recent one did per pass, for as many passes as early stopping lets it make; how many is
estimated from the trials that have ended and from those that still run, which are censored at the
pass they have reached: otherwise the short ones, which end first, would count too much.
Nonparametric Estimation from Incomplete Observations (Kaplan, Meier, 1958).

Trials are then dealt to workers as they become free, a few times over. The finalists follow.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple, Self, final

from ..training.restarts import mean_left

if TYPE_CHECKING:
    from ..training.evaluations import Evaluation
    from .snapshot import TrialRow

_RECENT = 200  # trials to learn from: sampler and early stopping change as a search goes on
_ENOUGH = 5  # ended trials of a method for its own shares; with fewer, those of all methods
_DEALS = 12
_DEALT = 200  # trials per deal; the others are taken to be like these
_MARKS = 6  # evaluations that make the pace of a running trial: stages differ in theirs
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples fill [0, 1) evenly


@final
@dataclass(frozen=True, kw_only=True)
class Finals:
    """The training of the best configurations after the last trial.

    `cost` is what a pass of a finalist takes in terms of one of a trial, which has other replicas.
    """

    count: int
    cost: float


def time_left(
    rows: Sequence["TrialRow"],
    *,
    to_come: int,
    workers: int,
    now: float,
    budget: float | None = None,
    finals: Finals | None = None,
) -> float | None:
    """Return the seconds that a search still needs, None before anything is known of its pace.

    `rows` are the trials so far by number, `to_come` is how many others there will be. `now` is on
    the clock of the rows' `at`. With a `budget`, trials end after so many more seconds.
    """
    experience = _Experience(rows[-_RECENT:])
    if not experience.known:
        return None
    running = [row for row in rows if row.state == "RUNNING"]
    deals = [
        _dealt(experience, running, random.Random(k), to_come, workers, now) for k in range(_DEALS)
    ]
    left = fmean(deals)
    if budget is not None:
        left = min(left, max(budget, 0.0))
    return left + (0.0 if finals is None else _final_seconds(experience, rows, finals, workers))


def running_left(row: "TrialRow", *, now: float) -> float:
    """Return the seconds that a training which nothing stops early needs to its end."""
    pace = row.seconds / row.epoch if row.pace is None and row.epoch else row.pace or 0.0
    return max((row.passes - row.epoch) * pace - (now - row.at), 0.0)


@final
class Mark(NamedTuple):
    """When a training had made so many passes, and how many candidates make the next ones."""

    epoch: int
    seconds: float
    candidates: int = 1

    @classmethod
    def of(cls, evaluation: "Evaluation", device: str) -> Self:
        """Return the mark of an evaluation; a GPU has room for a few more candidates."""
        candidates = 1 if device == "cuda" else evaluation.candidates
        return cls(evaluation.epoch, evaluation.seconds, candidates)


def pace_of(marks: Sequence[Mark], *, rest: float = 1.0) -> float | None:
    """Return the seconds of a pass from the last marks, None from a single one.

    What came before the first of them, such as a network taken from a cache, does not count. A
    pass takes time in proportion to its candidates, of which those to come have `rest`.
    """
    recent = marks[-_MARKS:]
    passes = sum((b.epoch - a.epoch) * a.candidates for a, b in pairwise(recent))
    seconds = recent[-1].seconds - recent[0].seconds if recent else 0.0
    return rest * seconds / passes if passes > 0 and seconds > 0 else None


def pace_ahead(last: "Evaluation | None", restarts: int, device: str) -> float:
    """Return how many candidates make a pass from here on, on average, as `Mark` counts them."""
    if last is None or device == "cuda":
        return 1.0
    return mean_left(restarts, last.epoch, last.passes)


def makespan(durations: Iterable[float], workers: int) -> float:
    """Return when the last of some jobs ends that workers take from the longest to the shortest.

    Bounds on Multiprocessing Timing Anomalies (Graham, 1969).
    """
    free = [0.0] * max(workers, 1)
    for seconds in sorted(durations, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


@final
class _Shares:
    """The distribution of the share of its passes that a trial makes until it ends."""

    def __init__(self, rows: Iterable["TrialRow"]) -> None:
        ends, at_risk = sorted(_end(row) for row in rows), 0
        at_risk, left = len(ends), 1.0
        atoms: dict[float, float] = {}
        for share, is_censored in ends:
            if not is_censored:
                atoms[share] = atoms.get(share, 0.0) + left / at_risk
                left -= left / at_risk
            at_risk -= 1
        atoms[1.0] = atoms.get(1.0, 0.0) + left  # nothing is known of those beyond
        self._shares = list(atoms)
        self._totals = list(accumulate(atoms.values()))

    def draw(self, u: float, *, beyond: float = 0.0) -> float:
        """Return the quantile at u in [0, 1) of the shares beyond one that has been reached."""
        first = bisect_right(self._shares, beyond)
        below = self._totals[first - 1] if first else 0.0
        rest = self._totals[-1] - below
        if rest <= 1e-9:
            return 1.0
        index = bisect_right(self._totals, below + u * rest)
        return self._shares[min(index, len(self._shares) - 1)]


def _end(row: "TrialRow") -> tuple[float, bool]:
    """Return the share of its passes that a trial has made, and whether it goes on."""
    if row.state == "COMPLETE":
        return 1.0, False
    return min(row.epoch / max(row.passes, 1), 1.0), row.state == "RUNNING"


@final
class _Experience:
    """What recent trials have taken."""

    def __init__(self, rows: Sequence["TrialRow"]) -> None:
        self.rows = [row for row in rows if row.passes]
        timed = [row for row in self.rows if row.seconds > 0 and row.epoch]
        self.known = bool(timed)
        if not self.known:
            return
        self._rate = _rate(timed)
        self._shares = _Shares(self.rows)
        self._rates: dict[str, float] = {}
        self._own_shares: dict[str, _Shares] = {}
        for method in {row.method for row in self.rows}:
            own = [row for row in self.rows if row.method == method]
            self._rates[method] = _rate([row for row in timed if row.method == method], self._rate)
            if sum(row.state != "RUNNING" for row in own) >= _ENOUGH:
                self._own_shares[method] = _Shares(own)
        overheads = [row.overhead for row in self.rows if row.overhead is not None]
        self.overhead = median(overheads) if overheads else 0.0

    def rate(self, row: "TrialRow") -> float:
        """Return the seconds that a pass of a trial takes on average."""
        known = row.seconds > 0 and row.epoch
        return row.seconds / row.epoch if known else self._rates.get(row.method, self._rate)

    def like(self, row: "TrialRow", u: float) -> float:
        """Return the seconds of another trial like this one."""
        passes = row.passes * self._shares_of(row).draw(u)
        if row.pace is None or not row.seconds or passes <= row.epoch:
            return passes * self.rate(row) + self.overhead
        return row.seconds + (passes - row.epoch) * row.pace + self.overhead

    def rest(self, row: "TrialRow", u: float, now: float) -> float:
        """Return the seconds that a running trial still needs."""
        reached = row.epoch / max(row.passes, 1)
        passes = row.passes * self._shares_of(row).draw(u, beyond=reached) - row.epoch
        pace = self.rate(row) if row.pace is None else row.pace
        return max(passes * pace - (now - row.at), 0.0)

    def _shares_of(self, row: "TrialRow") -> _Shares:
        return self._own_shares.get(row.method, self._shares)


def _rate(rows: Sequence["TrialRow"], default: float = 0.0) -> float:
    passes = sum(row.epoch for row in rows)
    return sum(row.seconds for row in rows) / passes if passes else default


def _dealt(
    experience: _Experience,
    running: Sequence["TrialRow"],
    rng: random.Random,
    to_come: int,
    workers: int,
    now: float,
) -> float:
    """Return when the last trial ends if the trials to come are like those so far."""
    start = rng.random()
    free = [experience.rest(row, (start + k * _GOLDEN) % 1, now) for k, row in enumerate(running)]
    free = sorted(free + [0.0] * (workers - len(free)))
    kinds = rng.sample(experience.rows, len(experience.rows))
    start, dealt = rng.random(), min(to_come, _DEALT)
    durations = [
        experience.like(kinds[k % len(kinds)], (start + k * _GOLDEN) % 1) for k in range(dealt)
    ]
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    others = (to_come - dealt) * fmean(durations) / len(free) if durations else 0.0
    return max(free) + others


def _final_seconds(
    experience: _Experience, rows: Sequence["TrialRow"], finals: Finals, workers: int
) -> float:
    """Return the seconds of the finalists if they were the best trials of this moment."""
    complete = [row for row in rows if row.state == "COMPLETE" and row.value is not None]
    best = sorted(complete, key=lambda row: -(row.value or 0.0))[: finals.count]
    best = [row for row in best if row.passes] or list(experience.rows)
    full = [row.passes * experience.rate(row) * finals.cost for row in best]
    missing = finals.count - len(full)
    return makespan([*full, *[fmean(full)] * missing][: finals.count], workers)
