"""Seeds of trials and finalists, derived from the seed of the study."""

import numpy as np

_FINALIST_STREAM = 1 << 31
_SHARED_STREAM = 1 << 30


def trial_seeds(seed: int, number: int, replicas: int, *, shared: bool = False) -> tuple[int, ...]:
    """Return the seeds of the replicas, or of all candidates, of the trial with this number.

    With `shared`, for trials that share a pretrained network, they do not depend on the number.
    Fewer seeds are the first ones of more.
    """
    return _seeds(seed, _SHARED_STREAM if shared else number, replicas)


def finalist_seeds(seed: int, number: int, replicas: int) -> tuple[int, ...]:
    """Return the seeds of the finalist from the trial with this number. No trial uses them."""
    return _seeds(seed, _FINALIST_STREAM + number, replicas)


def _seeds(seed: int, stream: int, replicas: int) -> tuple[int, ...]:
    state = np.random.SeedSequence([seed, stream]).generate_state(replicas)
    return tuple(int(s) for s in state)
