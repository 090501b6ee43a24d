"""What a view is told of a search or a training beside the snapshots of its trials."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...training.evaluations import Evaluation
    from ..snapshot import SearchSnapshot, TrialRow


@dataclass(frozen=True, kw_only=True)
class Started:
    """A search or a training has begun; a training has no name and no databases."""

    name: str | None
    methods: tuple[str, ...]
    dataset: str
    trials: int
    replicas: int
    folder: str
    storage: str | None = None
    tracking_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the driver does now: `name` is one of `STAGES`, `text` says it in words.

    Of `total` parts `done` are done, and `rows` are at work; `seconds_left` is None where nobody
    knows. A stage is told again as it advances.
    """

    name: str
    text: str
    done: int = 0
    total: int = 0
    rows: tuple["TrialRow", ...] = ()
    seconds_left: float | None = None


STAGES = (
    "data",
    "ray",
    "trials",
    "training",
    "finalists",
    "pictures",
    "clusters",
    "registry",
    "report",
    "mlflow",
)
"""Names of stages in their order; a search has `trials`, a training without one `training`."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What is in use on this machine, in bytes, and in a cluster of several by kind.

    `gpu_busy` is the mean share of time in which a GPU of this machine computes, None without one.
    `cluster` has the used and the total amount of each kind that is there.
    """

    memory: int
    memory_total: int
    gpus: int = 0
    gpu_memory: int = 0
    gpu_memory_total: int = 0
    gpu_busy: float | None = None
    cluster: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """A training without a search has been evaluated; `text` shows it on a line.

    The training is the only trial of `snapshot`.
    """

    evaluation: "Evaluation"
    text: str
    snapshot: "SearchSnapshot"


Event = Started | Stage | Usage | Evaluated
EventCallback = Callable[[Event], None]
