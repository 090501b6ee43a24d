"""Base classes that implement most of the contract for stacked networks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, final

import torch
from torch import Tensor, nn

from ...methods.config import Config
from ...methods.contract import Clusterer, Random, Shape, Trains
from .draws import Draws
from .layers import replica
from .loop import Clock, chunk_size
from .parts import MethodOfParts, parts_of
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


class StackedMethod(MethodOfParts, Trains, Random, ABC):
    """A method that trains one stack of networks.

    Subclasses write `build` and `fit`. Training resumes from the attributes of the method that are
    networks, optimisers or tensors (with a leading axis of R or R·m), or a `Part`.
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
        self.device = self.draws.device
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
        return stacked_clusterers(
            self.clusterer_of(self.config),
            self.config,
            self.shape,
            self.network.state_dict(),
            replicas=len(self.draws),
            device=self.draws.device,
        )

    @final
    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters of every network."""
        for name, part in parts_of(self).items():
            if isinstance(part, nn.Module):
                yield from part.named_parameters(name)


def stacked_clusterers(
    kind: type[Clusterer],
    config: Config,
    shape: Shape,
    tensors: Mapping[str, Tensor],
    *,
    replicas: int,
    device: torch.device,
) -> list[Clusterer]:
    """Return a clusterer for each replica of stacked tensors (R·m, …)."""
    return [
        kind(config, shape, replica(tensors, r, replicas), device=device) for r in range(replicas)
    ]
