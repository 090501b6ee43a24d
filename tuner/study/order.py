"""In which order the methods of a search begin.

Cheap ones do, so that whoever watches soon has something to compare with.
"""

import math
from collections.abc import Mapping, Sequence

from ..errors import TunerError
from .branches import Branch


def cheap_first(branches: Mapping[str, Branch], shape: Sequence[int]) -> tuple[str, ...]:
    """Return the methods by the expected cost of their first trial, equal ones as they are named.

    The cost is passes times parameters of one replica; fits without gradients come first.
    """
    if len(branches) == 1:  # nothing has to be built
        return tuple(branches)
    return tuple(sorted(branches, key=lambda name: _cost(branches[name], shape)))


def _cost(branch: Branch, shape: Sequence[int]) -> float:
    from ..methods import catalog
    from ..methods.contract import Trains

    method = catalog.method(branch.method)
    if not issubclass(method, Trains):
        return 0.0
    config = branch.config(branch.first)
    try:
        built = method(config, tuple(shape), (0,))
    except (TunerError, RuntimeError, ValueError):
        return math.inf  # its trials will tell what is wrong
    return float(config.passes * sum(tensor.numel() for _, tensor in built.parameters()))
