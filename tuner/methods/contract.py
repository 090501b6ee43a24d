"""The contract between a clustering method and everything that trains, scores and serves it.

Adding a method
---------------
Write two files and nothing else: `models/NAME.py`, with one `Method` and the frozen `Config`
beside it, and `search_spaces/NAME.yaml`. The catalog, the command line, the conformance suite and
the README's table find them by name. A package of your own offers a method by an entry point
instead: see `tuner.methods.catalog`.

1. `Config` says every hyperparameter once: `setting(default, "meaning", low=..., unit=...)`.
2. A `Method` trains R replicas (one per seed) side by side as one program. Every tensor it trains
   has a leading axis of R (or R·K) replicas, and losses are summed over it, so each replica gets
   exactly its own gradient. `tuner.models._kit.layers` holds such layers,
   `tuner.models._kit.draws` all drawing of random numbers, `tuner.models._kit.loop` the pieces of
   a loop, and `tuner.models._kit.stack` answers most of this contract for a method that is one
   stack of networks.
3. `fit` is a generator: it yields a `Report` after every pass over the data and may be abandoned
   or resumed at any yield. It should read like the algorithm box of the paper.
4. A `Clusterer` is what training leaves behind: one replica that answers questions, rebuilt from
   its `Config` and a flat mapping of tensors. It never samples unless a seed is given.
5. What a method can do is a type: inherit `Decodes`, `Generates`, `Traverses` or `Bounds` where
   it is honest, and `Pretrains` where trials may share the network with which training begins.
   Where a setting decides what the clusterer can do, `clusterer_with` names its class with that.
6. `tuner.testing.check_method("NAME")` says whether the contract holds.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, final, get_type_hints

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean

Shape = tuple[int, ...]
Scalar = bool | int | float | str
State = dict[str, Tensor | Scalar]


def setting(
    default: Scalar,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Scalar] = (),
) -> Any:
    """Return a dataclass field that knows its meaning, its unit and what is allowed."""
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config(ABC):
    """Every hyperparameter of one method; the defaults are the paper's where it fixes them."""

    n_components: int = setting(10, "number of clusters K", low=2)

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = _checked(f, types[f.name], getattr(self, f.name))
            object.__setattr__(self, f.name, value)

    @property
    @abstractmethod
    def passes(self) -> int:
        """Passes over the data that a whole training makes."""

    @abstractmethod
    def capped(self, epochs: int) -> Self:
        """Return this configuration with its schedule shortened to at most `epochs` passes."""

    def metric_info(self) -> "Mapping[str, MetricInfo]":
        """Return how reported metrics are to be read, by their names; none need be here."""
        return {}

    @property
    def pretraining(self) -> Mapping[str, Scalar]:
        """All settings that a pretrained network depends on, empty where nothing is pretrained.

        Trials with equal ones share it; where they are empty, nobody waits for one.
        """
        return {}

    @classmethod
    def implied_by(cls, *, unit_interval: bool) -> dict[str, Scalar]:
        """Return the settings that the data force: `unit_interval` data lie in [0, 1]."""
        del unit_interval
        return {}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration, refusing names that it does not have with a suggestion."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise UsageError(
                    f"no setting {name!r}{did_you_mean(name, names)}; allowed: {', '.join(names)}"
                )
        return cls(**values)

    @final
    def to_mapping(self) -> dict[str, Scalar]:
        """Return the settings as plain JSON scalars."""
        return dataclasses.asdict(self)


def _checked(f: "dataclasses.Field[Any]", kind: Any, value: Any) -> Any:
    """Return `value` as the declared type, or raise a sentence that says what is allowed."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (kind is float and not value == value):  # the latter: NaN
        raise UsageError(f"{f.name}={value!r} is not usable: give a value of type {kind.__name__}")
    low, high, choices = (f.metadata.get(key) for key in ("low", "high", "choices"))
    if choices and value not in choices:
        allowed = ", ".join(map(str, choices))
        raise UsageError(f"{f.name}={value!r} is not one of {allowed}: give one of these")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low:g}" if high is None else f"between {low or 0:g} and {high:g}"
        raise UsageError(f"{f.name}={value!r} is out of range: give a value {bounds}")
    return value


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """How a reported metric is to be read: its unit, and levels that mean something, by name."""

    unit: str = ""
    levels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What training says after a pass over the data.

    `epoch` counts the passes so far over all stages, from 1. `metrics` holds one number per
    replica and name, as tensors of shape (R,); a loss that is not finite is an outcome, no error.
    `clusters` is false while a pretraining stage has not made clusters yet: such a report is
    tracked, but neither scored nor pruned.
    """

    stage: str
    epoch: int
    metrics: Mapping[str, Tensor]
    clusters: bool = True


class Clusterer(ABC):
    """One trained replica: scaled data in, clusters out; deterministic, on one device.

    It is rebuilt from `config`, the `shape` of one data point and `weights`, which is also all
    that a registered model stores; `weights()` gives them back.
    """

    @abstractmethod
    def __init__(
        self,
        config: Any,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None: ...

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return every tensor that the answers depend on."""

    @abstractmethod
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x), shape (N, K), normalised over K, of x (N, *shape)."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes of x, shape (N, D)."""

    @final
    def predict_proba(self, x: Tensor) -> Tensor:
        """Return p(cluster | x), shape (N, K)."""
        return self.predict_log_proba(x).exp()

    @final
    def predict(self, x: Tensor) -> Tensor:
        """Return the most probable cluster of each point, shape (N,), int64."""
        return self.predict_log_proba(x).argmax(dim=1)


class Decodes(ABC):
    """A clusterer that can draw a point again from its code."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean reconstruction of x, shape (N, *shape)."""


class Generates(ABC):
    """A clusterer that can draw new points of a cluster."""

    @abstractmethod
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n new points of one cluster, shape (n, *shape)."""


class Traverses(ABC):
    """A clusterer whose points have a style beside their cluster."""

    @abstractmethod
    def traverse(self, cluster: int, steps: int) -> Tensor:
        """Return points on the way along one line of styles, the cluster fixed, (steps, *shape).

        The line and its ends, the first point and the last, do not depend on the steps.
        """


class Bounds(ABC):
    """A clusterer that bounds the log-likelihood from below."""

    @abstractmethod
    def elbo(self, x: Tensor) -> Tensor:
        """Return a lower bound of log p(x) in nats, shape (N,)."""


class Method(ABC):
    """Trains R = len(seeds) replicas of one configuration at once.

    Every parameter exists once the constructor returns. `config_type` and `clusterer_type` name
    the classes that belong to the method, `source` its paper (title, year, section or equation).
    `clusterer_with` names the classes that it leaves instead where a switch is on, by the names of
    these switches; the first that is on decides.
    """

    config_type: ClassVar[type[Config]]
    clusterer_type: ClassVar[type[Clusterer]]
    clusterer_with: ClassVar[Mapping[str, type[Clusterer]]] = {}
    source: ClassVar[str]

    @final
    @classmethod
    def clusterer_of(cls, config: Config) -> type[Clusterer]:
        """Return the class of the clusterers that a training with this configuration leaves."""
        on = (kind for name, kind in cls.clusterer_with.items() if getattr(config, name))
        return next(on, cls.clusterer_type)

    @abstractmethod
    def __init__(
        self,
        config: Any,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None: ...

    @abstractmethod
    def fit(self, x: Tensor) -> Iterator[Report]:
        """Train on x, shape (N, *shape), scaled, on the method's device; go on where it stands."""

    @abstractmethod
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x) of every replica, shape (R, N, K)."""

    @abstractmethod
    def clusterers(self) -> list[Clusterer]:
        """Return the R replicas as they stand, detached from training."""

    @abstractmethod
    def state(self) -> State:
        """Return all that is needed to go on exactly; valid at yields."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a state; a new `fit` goes on at the next epoch."""


class Trains(ABC):
    """A method that trains by gradients."""

    @abstractmethod
    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and tensor of every parameter that gradients must reach."""


class Pretraining(ABC):
    """The beginning of a training, whose network other trials may take over.

    It depends on data, seeds and what `Config.pretraining` names, on nothing else.
    """

    @abstractmethod
    def result(self) -> State | None:
        """Return the network where training stands at the end of its beginning, None elsewhere."""

    @abstractmethod
    def take(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Take up a network that another training left with equal settings, data and seeds."""


class Pretrains(ABC):
    """A method that pretrains a network, which its `fit` leaves out where it was taken over."""

    pretraining: Pretraining


class Random(ABC):  # noqa: B024  a capability is a type; this one says something and asks nothing
    """A method whose result depends on the seed."""
