"""The contract answered once, for methods whose replicas are one stack of networks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ...methods.config import Config, Scalar
from ...methods.contract import Clusterer, Method, Random, Shape, State, Trains
from .loop import pack, unpack
from .networks import Draws, replica


class StackedNetwork(nn.Module, ABC):
    """S networks, one for each replica, that know to which cluster a point belongs.

    Every parameter and buffer has a leading axis of S or S·m. Data are flat, x (N, F).
    """

    @abstractmethod
    def __init__(self, stack: int, shape: Shape, config: Any) -> None:
        super().__init__()

    @abstractmethod
    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(cluster | x), shape (S, N, K), of x (N, F)."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes, shape (S, N, D), of x (N, F)."""


class NetworkClusterer(Clusterer, ABC):
    """A clusterer that is a stack of one network; what it draws or bounds is its heirs' to say."""

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
        """Return parameters and buffers of the network, each a stack of one."""
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


class StackedMethod(Method, Trains, Random, ABC):
    """A method that trains one stack of networks; heirs build their parts and write `fit`.

    Training is resumed from the attributes that it moves: networks, optimisers, tensors, and what
    has a `state` to `restore`, such as draws and clocks.
    """

    clusterer_type: ClassVar[type[NetworkClusterer]]
    config: Config
    shape: Shape
    network: StackedNetwork
    draws: Draws

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
        """Return the replicas as they stand."""
        tensors, count = self.network.state_dict(), len(self.draws)
        kind, device = self.clusterer_of(self.config), self.draws.device
        return [
            kind(self.config, self.shape, replica(tensors, r, count), device=device)
            for r in range(count)
        ]

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
        """Take up a state."""
        unpack(state, **_parts(self))


def _parts(method: StackedMethod) -> dict[str, object]:
    return {name: value for name, value in vars(method).items() if _moves(value)}


def _moves(value: object) -> bool:
    kinds = (nn.Module, torch.optim.Optimizer, Tensor)
    return isinstance(value, kinds) or (hasattr(value, "state") and hasattr(value, "restore"))
