"""What a trial is given: its specification, and the data that all trials share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ..evaluation.graph import NeighbourGraph

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Scalar


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One trial as plain values, so that it can be sent to any process.

    `folder` is that of the trial, in which each attempt has files of its own, and `attempt` how
    often the ledger has handed the trial out before. `pretraining_cache` is the folder in which
    trials share pretrained networks, "" for none. Folders are paths, or URLs of object stores.
    `seeds` has those of all `restarts` of every replica, in the order of `training.restarts`.
    """

    number: int
    method: str
    settings: Mapping[str, "Scalar"]
    seeds: tuple[int, ...]
    objective: str
    folder: str
    attempt: int = 0
    device: str = "cpu"
    pretraining_cache: str = ""
    restarts: int = 1

    @property
    def replicas(self) -> int:
        """The number of replicas."""
        return len(self.seeds) // self.restarts

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@final
@dataclass(frozen=True, eq=False)
class TrialData:
    """The data that every trial of a search reads and none changes.

    `x` (N, *shape) are the scaled training points, `labels` (n,) those of the graph's points, used
    by the audit. `fingerprint` identifies the dataset.
    """

    fingerprint: str
    x: NDArray[np.float32]
    graph: NeighbourGraph
    labels: NDArray[np.int64] | None


def trial_data(dataset: "Dataset", graph: NeighbourGraph) -> TrialData:
    """Return the data that all trials on a dataset share."""
    labels = None if dataset.train_labels is None else dataset.train_labels[graph.index]
    return TrialData(dataset.fingerprint, dataset.train, graph, labels)
