"""The seeds of trials and finalists: functions of the study's seed, never drawn."""

import numpy as np

_FINALIST_STREAM = 1 << 31
_SHARED_STREAM = 1 << 30


def trial_seeds(seed: int, number: int, replicas: int, *, shared: bool = False) -> tuple[int, ...]:
    """Return the seeds of a trial's replicas, a function of the study's seed and the number.

    `shared` are those of trials that share a pretrained network: the number changes nothing.
    """
    return _seeds(seed, _SHARED_STREAM if shared else number, replicas)


def finalist_seeds(seed: int, rank: int, replicas: int) -> tuple[int, ...]:
    """Return seeds that no trial has used, for the finalist of a rank."""
    return _seeds(seed, _FINALIST_STREAM + rank, replicas)


def _seeds(seed: int, stream: int, replicas: int) -> tuple[int, ...]:
    state = np.random.SeedSequence([seed, stream]).generate_state(replicas)
    return tuple(int(s) for s in state)
