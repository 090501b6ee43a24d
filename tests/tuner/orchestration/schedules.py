"""Simulated searches, of which the time left is known at every moment."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tuner.orchestration.snapshot import SearchSnapshot, TrialRow
from tuner.orchestration.time_left import Finals, makespan

EVALUATIONS = 20


@dataclass(frozen=True)
class Planned:
    """A trial as it will turn out: `share` is the part of its passes that it makes."""

    method: str
    passes: int
    pace: float
    share: float = 1.0
    value: float = 0.5

    @property
    def made(self) -> int:
        return max(1, round(self.passes * self.share))

    @property
    def state(self):
        return "COMPLETE" if self.made == self.passes else "PRUNED"


@dataclass(frozen=True)
class Schedule:
    """Trials dealt to workers in order, with seconds of overhead each, and the finalists."""

    trials: tuple[Planned, ...]
    workers: int
    overhead: float = 0.0
    finals: Finals | None = None

    @property
    def starts(self) -> list[float]:
        free, starts = [0.0] * self.workers, []
        for trial in self.trials:
            starts.append(free[0])
            heapq.heapreplace(free, free[0] + self.overhead + trial.made * trial.pace)
        return starts

    @property
    def trials_end(self) -> float:
        return max(
            start + self.overhead + trial.made * trial.pace
            for start, trial in zip(self.starts, self.trials, strict=True)
        )

    @property
    def end(self) -> float:
        return self.trials_end + self.final_seconds

    @property
    def final_seconds(self) -> float:
        if self.finals is None:
            return 0.0
        complete = [trial for trial in self.trials if trial.state == "COMPLETE"]
        best = sorted(complete, key=lambda t: -t.value)[: self.finals.count]
        costs = [t.passes * t.pace * self.finals.cost for t in best]
        return makespan(costs, self.workers)

    def snapshot(self, now: float) -> SearchSnapshot:
        begun = zip(self.starts, self.trials, strict=True)
        return SearchSnapshot(
            total=len(self.trials),
            rows=tuple(
                self._row(n, start, trial, now)
                for n, (start, trial) in enumerate(begun)
                if start <= now
            ),
            seconds=now,
            finished_before=0,
            workers=self.workers,
            finals=self.finals,
        )

    def _row(self, number: int, start: float, trial: Planned, now: float) -> TrialRow:
        """Return what a driver knows of a trial, with reports at every twentieth of it."""
        interval = -(-trial.passes // EVALUATIONS)
        trained = max(now - start - self.overhead, 0.0)
        epoch = min(int(trained / trial.pace + 1e-9), trial.made)
        has_ended = epoch == trial.made
        epoch = epoch if has_ended else epoch // interval * interval
        seconds = epoch * trial.pace
        return TrialRow(
            number=number,
            method=trial.method,
            state=trial.state if has_ended else "RUNNING",
            value=trial.value if epoch else None,
            epoch=epoch,
            passes=trial.passes,
            seconds=seconds,
            pace=trial.pace if epoch else None,
            at=start + (self.overhead + seconds if epoch else 0.0),
            overhead=self.overhead if has_ended else None,
        )

    def moments(self, n: int = 24) -> Iterator[SearchSnapshot]:
        """Yield the search at moments from its first ended trial to the last one."""
        for k in range(1, n):
            found = self.snapshot(self.trials_end * k / n)
            if found.done:
                yield found


def mean_pace(snapshot: SearchSnapshot) -> float:
    """Return the time left by the mean of the trials that have ended, as a naive view would."""
    return snapshot.seconds / snapshot.done * (snapshot.total - snapshot.done)


def drawn(
    n: int, *, seed: int, methods: dict[str, float], half_pruned: bool
) -> tuple[Planned, ...]:
    """Return trials of some methods, given by their pace."""
    rng = random.Random(seed)
    names = list(methods)
    return tuple(
        Planned(
            method := rng.choice(names),
            passes=rng.choice((40, 60, 100)),
            pace=methods[method] * rng.uniform(0.7, 1.4),
            share=rng.choice((0.1, 0.25, 1.0, 1.0)) if half_pruned else 1.0,
            value=rng.random(),
        )
        for _ in range(n)
    )
