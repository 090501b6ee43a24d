"""The interface of a clustering method, on which training, scoring and serving rely.

Adding a method
---------------
A method consists of two files: `models/NAME.py` with a `Method` and its `Config`, and
`search_spaces/NAME.yaml` with the settings to search. There is nothing to register. The command
line and the conformance suite find both files by name. A package of your own offers its method by
an entry point instead, as described in `tuner.methods.catalog`.

1. Declare the hyperparameters in a subclass of `Config`, each once, as
   `name: type = setting(default, "meaning")`. See `tuner.methods.config`.

2. Write a `Method`, which trains R replicas of one configuration (one per seed) as a single
   program. Every trained tensor has a leading axis of R (or R·K), and losses are summed over it,
   so that each replica receives exactly its own gradient.

3. Write its `fit` as a generator that yields a `Report` after every pass over the data. The caller
   may stop at any yield and continue later from `state()`, with exactly the same result, or go on
   with some of the replicas by `select`. `fit` should read like the algorithm in the paper.

4. Write a `Clusterer`: one trained replica, which assigns points to clusters. It can be rebuilt
   from its `Config` and a flat mapping of tensors, and it is deterministic: only functions that
   take a seed draw random numbers.

5. Declare what the method can do by inheriting the capabilities that it supports:

   ==============  ============  =======================================================
   `Decodes`       `Clusterer`   `reconstruct` points from their codes
   `Generates`     `Clusterer`   `sample` new points of a cluster
   `Traverses`     `Clusterer`   `traverse` the styles within a cluster
   `Bounds`        `Clusterer`   `elbo`, a lower bound of the log-likelihood
   `Trains`        `Method`      has `parameters` that are trained by gradients
   `Pretrains`     `Method`      has a `pretraining` that trials can share
   `Random`        `Method`      gives a result that depends on the seed
   ==============  ============  =======================================================

   If the clusterer can do more when a boolean setting is on, name its class in `clusterer_with`.

6. Run `tuner.testing.check_method("NAME")`, which checks all of this.

`models/kmeans.py` is a method that is fitted at once. For methods that train networks,
`tuner.models._kit.stack` implements most of it, `tuner.models._kit.layers` has layers with the
replica axis, `tuner.models._kit.draws` draws all random numbers, and `tuner.models._kit.loop` has
the parts of a training loop. `models/ae_gmm.py` is a short example.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from .config import Config, Scalar

Shape = tuple[int, ...]
State = dict[str, Tensor | Scalar]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What training reports after a pass over the data.

    `epoch` counts passes over all stages, from 1. `metrics` holds tensors of shape (R,), one value
    per replica; a loss may be infinite or NaN. `clusters` is false while pretraining has not
    produced clusters yet: such a report is logged, but neither scored nor used for pruning.
    """

    stage: str
    epoch: int
    metrics: Mapping[str, Tensor]
    clusters: bool = True


class Clusterer(ABC):
    """One trained replica, which assigns scaled points to clusters deterministically.

    The constructor rebuilds it from its configuration, the shape of one point and `weights`, which
    are what `weights()` returns. A registered model stores nothing else of it.
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
        """Return every tensor that the results depend on, by name."""

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
    """A clusterer that can reconstruct points from their codes."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean reconstruction of x, shape (N, *shape)."""


class Generates(ABC):
    """A clusterer that can sample new points of a cluster."""

    @abstractmethod
    def sample(self, cluster: int, n: int, seed: int) -> Tensor:
        """Return n new points of one cluster, shape (n, *shape)."""


class Traverses(ABC):
    """A clusterer whose points have a style besides their cluster."""

    @abstractmethod
    def traverse(self, cluster: int, steps: int) -> Tensor:
        """Return points along one line of styles in a fixed cluster, shape (steps, *shape).

        The line and its two ends do not depend on `steps`.
        """


class Bounds(ABC):
    """A clusterer that has a lower bound of the log-likelihood."""

    @abstractmethod
    def elbo(self, x: Tensor) -> Tensor:
        """Return a lower bound of log p(x) in nats, shape (N,)."""


class Method(ABC):
    """Trains R = len(seeds) replicas of one configuration at once.

    The constructor creates every parameter. `config_type` and `clusterer_type` are the classes
    that belong to the method, and `source` is its paper (title, year, section or equation).
    `clusterer_with` maps names of boolean settings to the classes that replace `clusterer_type`
    when they are on. The first one that is on decides.
    """

    config_type: ClassVar[type[Config]]
    clusterer_type: ClassVar[type[Clusterer]]
    clusterer_with: ClassVar[Mapping[str, type[Clusterer]]] = {}
    source: ClassVar[str]

    @final
    @classmethod
    def clusterer_of(cls, config: Config) -> type[Clusterer]:
        """Return the class of the clusterers that training with this configuration yields."""
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
        """Train on scaled points x, shape (N, *shape), on the method's device.

        Continue after the last completed pass if the method has been trained or restored before.
        """

    @abstractmethod
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x) of every replica, shape (R, N, K)."""

    @abstractmethod
    def clusterers(self) -> list[Clusterer]:
        """Return the R replicas in their current state, detached from training."""

    @abstractmethod
    def state(self) -> State:
        """Return a copy of everything needed to continue training exactly. Call it at a yield."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Load a state, so that a new `fit` continues at the next epoch."""

    @abstractmethod
    def select(self, replicas: Sequence[int]) -> Self:
        """Return a method that continues with only these replicas, by index and in this order.

        Call it at a yield. A new `fit` of the result continues at the next epoch, and each of its
        replicas exactly as it would have continued among the others. This method is not changed.
        """


class Trains(ABC):
    """A method that is trained by gradients."""

    @abstractmethod
    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and tensor of every parameter that must receive a gradient."""


class Pretraining(ABC):
    """The first stage of a training, whose network can be shared between trials.

    It depends only on the data, the seeds and the settings in `Config.pretraining`.
    """

    @abstractmethod
    def result(self) -> State | None:
        """Return the pretrained network right after the last pass of this stage, else None."""

    @abstractmethod
    def load(self, result: Mapping[str, Tensor | Scalar]) -> None:
        """Load the result of another training with equal settings, data and seeds."""


class Pretrains(ABC):
    """A method with a pretraining stage, which `fit` skips after `pretraining.load`."""

    pretraining: Pretraining


class Random(ABC):  # noqa: B024  a marker without methods
    """A method whose result depends on the seed."""
