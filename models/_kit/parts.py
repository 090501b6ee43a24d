"""What training resumes from: the state of the parts of a method, of all replicas or of some.

A part is a network, an optimiser, a tensor, or an object with the methods of `Part`. Tensors have
a leading axis of R or R·m, except for those without an axis, which all replicas share.
"""

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Protocol, Self, final

import torch
from torch import Tensor, nn

from ...methods.config import Config, Scalar
from ...methods.contract import Method, Shape, State


class Part(Protocol):
    """A part that knows its own state."""

    def state(self) -> Mapping[str, Tensor | Scalar]:
        """Return everything needed to continue exactly."""

    def selected(self, replicas: Sequence[int]) -> Mapping[str, Tensor | Scalar]:
        """Return the state of a part that continues with only these replicas."""

    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Load a state."""


class MethodOfParts(Method, ABC):
    """A method that resumes from the parts among its attributes, with all replicas or some."""

    config: Config
    shape: Shape
    seeds: tuple[int, ...]
    device: torch.device

    @final
    def state(self) -> State:
        """Return the state of every part."""
        return pack(**parts_of(self))

    @final
    def restore(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Restore the state of every part."""
        unpack(state, **parts_of(self))

    @final
    def select(self, replicas: Sequence[int]) -> Self:
        """Return a method that continues with only these replicas."""
        seeds = [self.seeds[r] for r in replicas]
        chosen = type(self)(self.config, self.shape, seeds, device=self.device)
        chosen.restore(pack_selected(replicas, len(self.seeds), **parts_of(self)))
        return chosen


def pack(**parts: object) -> State:
    """Return the state of several parts as one flat mapping."""
    return _flat({name: _state_of(part) for name, part in parts.items()})


def pack_selected(replicas: Sequence[int], of: int, /, **parts: object) -> State:
    """Return the state of several parts that continue with only some `of` their replicas."""
    return _flat({name: _selected(part, replicas, of) for name, part in parts.items()})


def unpack(state: Mapping[str, Tensor | Scalar], **parts: object) -> None:
    """Restore every part from a state that was packed with the same names."""
    for name, part in parts.items():
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
        _restore(part, own)


def parts_of(method: object) -> dict[str, object]:
    """Return the attributes of a method that are parts, by name."""
    kinds = (nn.Module, torch.optim.Optimizer, Tensor)
    return {
        name: value
        for name, value in vars(method).items()
        if isinstance(value, kinds) or (hasattr(value, "state") and hasattr(value, "restore"))
    }


def rows(tensor: Tensor, replicas: Sequence[int], of: int) -> Tensor:
    """Return a copy of the rows (S·m, …) of S `of` the R replicas in a tensor (R·m, …)."""
    if tensor.dim() == 0:
        return tensor.detach().clone()
    chosen = torch.tensor(replicas, device=tensor.device)
    return tensor.detach().unflatten(0, (of, -1)).index_select(0, chosen).flatten(0, 1)


def _selected(part: object, replicas: Sequence[int], of: int) -> Mapping[str, Tensor | Scalar]:
    if isinstance(part, nn.Module | torch.optim.Optimizer | Tensor):
        return {
            name: rows(value, replicas, of) if isinstance(value, Tensor) else value
            for name, value in _state_of(part).items()
        }
    return part.selected(replicas)  # type: ignore[attr-defined]


def _flat(states: Mapping[str, Mapping[str, Tensor | Scalar]]) -> State:
    return {
        f"{name}/{key}": value.detach().clone() if isinstance(value, Tensor) else value
        for name, state in states.items()
        for key, value in state.items()
    }


def _state_of(part: object) -> Mapping[str, Tensor | Scalar]:
    if isinstance(part, nn.Module):
        return part.state_dict()
    if isinstance(part, torch.optim.Optimizer):
        saved = part.state_dict()
        moments = {
            f"{index}/{key}": value
            for index, values in saved["state"].items()
            for key, value in values.items()
        }
        rates = {f"lr/{i}": float(g["lr"]) for i, g in enumerate(saved["param_groups"])}
        return moments | rates
    if isinstance(part, Tensor):
        return {"": part}
    return part.state()  # type: ignore[attr-defined]


def _restore(part: object, state: Mapping[str, Tensor | Scalar]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(state)
    elif isinstance(part, torch.optim.Optimizer):
        _restore_optimiser(part, state)
    elif isinstance(part, Tensor):
        saved = state[""]
        assert isinstance(saved, Tensor)
        part.data.copy_(saved)
    else:
        part.restore(state)  # type: ignore[attr-defined]


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor | Scalar]
) -> None:
    saved = optimiser.state_dict()
    saved["state"] = {}
    for name, value in state.items():
        index, key = name.split("/")
        if index == "lr":
            rate = saved["param_groups"][int(key)]["lr"]
            is_tensor = isinstance(rate, Tensor)
            saved["param_groups"][int(key)]["lr"] = (
                torch.full_like(rate, float(value)) if is_tensor else value
            )
        else:
            saved["state"].setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(saved)
