"""Base classes that implement most of the contract, for stacked networks and for plain fits."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, final

import torch
from torch import Tensor, nn

from ...methods.config import Config, Scalar
from ...methods.contract import Clusterer, Method, Random, Report, Shape, State, Trains
from .draws import Draws
from .layers import replica
from .loop import Clock, chunk_size, pack, unpack
from .mixtures import some_of_many
from .pretraining import Loss, NetworkPretraining, PretrainingConfig

Network = TypeVar("Network", bound=nn.Module)


class StackedNetwork(nn.Module, ABC):
    """S networks, one per replica, that assign points to clusters.

    Every parameter and buffer has a leading axis of S or S·m. Data are flat, x (N, F).
    """

    @abstractmethod
    def __init__(self, stack: int, shape: Shape, config: Any) -> None:
        super().__init__()
        self.stack = stack

    @abstractmethod
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x), shape (S, N, K), of x (N, F)."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""

    @final
    def expand(self, x: Tensor) -> Tensor:
        """Return x (N, F) once per network, shape (S, N, F), without copying it."""
        return x.expand(self.stack, *x.shape)


class NetworkClusterer(Clusterer, ABC):
    """A clusterer that holds a stack of one network.

    Subclasses add `reconstruct`, `sample` and `elbo` where the method supports them.
    """

    network_type: ClassVar[type[StackedNetwork]]

    @final
    def __init__(
        self,
        config: Any,
        shape: Shape,
        weights: Mapping[str, Tensor],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape = config, tuple(shape)
        with torch.device("meta"):
            network = self.network_type(1, self.shape, config)
        self.network = network.to_empty(device=device).requires_grad_(False).eval()
        self.network.load_state_dict(dict(weights))

    @final
    def weights(self) -> dict[str, Tensor]:
        """Return the parameters and buffers of the network, each a stack of one."""
        return dict(self.network.state_dict())

    @final
    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x), shape (N, K)."""
        return self.network.predict_log_proba(x.flatten(1))[0]

    @final
    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes of x, shape (N, D)."""
        return self.network.embed(x.flatten(1))[0]

    @final
    @torch.no_grad()
    def decode_codes(self, x: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the decoded codes of x, shape (N, *shape).

        `decode` maps codes (1, B, D) to flat points (1, B, F).
        """
        codes = self.network.embed(x.flatten(1)).split(chunk_size(x.device), dim=1)
        return self.unflatten(torch.cat([decode(part) for part in codes], dim=1))

    @final
    @torch.no_grad()
    def draw_codes(
        self, place: Callable[[int, Tensor], Tensor], cluster: int, n: int, seed: int
    ) -> Tensor:
        """Return n codes of a cluster, shape (1, n, D), with `temperature` times its variance.

        `place` maps the cluster and standard normal noise (1, n, D) to codes.
        """
        device = next(self.network.parameters()).device
        noise = Draws([seed], device).normal(n, self.config.latent_size)
        return place(cluster, self.config.temperature**0.5 * noise)

    @final
    def unflatten(self, points: Tensor) -> Tensor:
        """Return flat points (1, n, F) in the shape of the data, (n, *shape)."""
        return points[0].view(points.shape[1], *self.shape)


class StackedMethod(Method, Trains, Random, ABC):
    """A method that trains one stack of networks.

    Subclasses write `build` and `fit`. Training resumes from the attributes of the method that are
    networks, optimisers or tensors, or have both `state` and `restore`.
    """

    clusterer_type: ClassVar[type[NetworkClusterer]]
    config: Config
    shape: Shape
    network: StackedNetwork

    @final
    def __init__(
        self,
        config: Any,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, tuple(shape), tuple(seeds)
        self.draws, self.clock = Draws(seeds, device), Clock()
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Create `network`, initialise it, and create its optimisers.

        `config`, `shape`, `seeds`, `draws` and `clock` are already set.
        """

    @final
    def stacked(self, network_type: Callable[[int, Shape, Any], Network]) -> Network:
        """Return one network per replica on the method's device, not yet initialised."""
        return network_type(len(self.draws), self.shape, self.config).to(self.draws.device)

    @final
    def scalar(self, value: float) -> Tensor:
        """Return a number as a tensor (), for a step that takes it as an argument."""
        return torch.full((), value, device=self.draws.device)

    @final
    def pretraining_of(
        self, network: nn.Module, loss: Loss, config: PretrainingConfig
    ) -> NetworkPretraining:
        """Initialise a network and return its pretraining, which has separate random numbers."""
        return NetworkPretraining(
            network, loss, config, clock=self.clock, seeds=self.seeds, device=self.draws.device
        )

    @final
    @torch.no_grad()
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x) of every replica, shape (R, N, K)."""
        training = self.network.training
        answer = self.network.eval().predict_log_proba(x.flatten(1))
        self.network.train(training)
        return answer

    @final
    def clusterers(self) -> list[Clusterer]:
        """Return the replicas in their current state."""
        return _clusterers(self, self.network.state_dict(), len(self.draws), self.draws.device)

    @final
    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of every network."""
        for name, part in _parts(self).items():
            if isinstance(part, nn.Module):
                yield from part.named_parameters(name)

    @final
    def state(self) -> State:
        """Return the state of every part."""
        return pack(**_parts(self))

    @final
    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore the state of every part."""
        unpack(state, **_parts(self))


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config, ABC):
    """Settings of a method that is fitted at once, not epoch by epoch."""

    @property
    @final
    def passes(self) -> int:
        """One: a fit counts as a single epoch."""
        return 1

    @final
    def capped(self, epochs: int) -> Self:
        """Return this configuration: a single epoch cannot be shortened."""
        del epochs
        return self


class FittedMethod(Method, Random, ABC):
    """A method without gradients: every replica is fitted once, one after another."""

    stage: ClassVar[str]
    metric: ClassVar[str]
    config: Config
    shape: Shape

    @final
    def __init__(
        self,
        config: Any,
        shape: Shape,
        seeds: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.shape, self.seeds = config, tuple(shape), tuple(seeds)
        self.device = torch.device(device)
        self.build(len(seeds), torch.Size(shape).numel())
        self.clock = Clock()

    @abstractmethod
    def build(self, replicas: int, features: int) -> None:
        """Create the fitted tensors or modules, with a leading axis of replicas."""

    @abstractmethod
    def fit_replica(self, r: int, points: Tensor) -> Tensor:
        """Fit replica r to points (N, F) and return its `metric`, a scalar."""

    @abstractmethod
    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors that make up the clusterers, each with a leading axis of replicas."""

    @final
    def fit(self, x: Tensor) -> Iterator[Report]:
        """Fit every replica to at most 200,000 of the points x, and report once."""
        points = x.flatten(1)
        for _ in self.clock.count(self.stage, 1):
            values = [
                self.fit_replica(r, some_of_many(points, seed))
                for r, seed in enumerate(self.seeds)
            ]
            metrics = {self.metric: torch.stack(values)}
            yield Report(stage=self.stage, epoch=self.clock.epoch, metrics=metrics)

    @final
    def clusterers(self) -> list[Clusterer]:
        """Return one clusterer per seed."""
        return _clusterers(self, self.tensors(), len(self.seeds), self.device)

    @final
    def state(self) -> State:
        """Return the fitted tensors and the clock."""
        return pack(**_parts(self))

    @final
    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore the fitted tensors and the clock."""
        unpack(state, **_parts(self))


def _clusterers(
    method: StackedMethod | FittedMethod,
    tensors: Mapping[str, Tensor],
    replicas: int,
    device: torch.device,
) -> list[Clusterer]:
    kind = method.clusterer_of(method.config)
    return [
        kind(method.config, method.shape, replica(tensors, r, replicas), device=device)
        for r in range(replicas)
    ]


def _parts(method: Method) -> dict[str, object]:
    return {name: value for name, value in vars(method).items() if _has_state(value)}


def _has_state(value: object) -> bool:
    kinds = (nn.Module, torch.optim.Optimizer, Tensor)
    return isinstance(value, kinds) or (hasattr(value, "state") and hasattr(value, "restore"))
