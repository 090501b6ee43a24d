"""A recording of training steps on any device, strict about all that a CUDA graph would get wrong.

A CUDA graph repeats the kernels of one step at the same addresses. A number that Python passed is
passed again, a tensor that has been replaced since is read where it was, and what the step did to
objects of Python is not done again. `Tape` does the same with the operations of torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ..models._kit.recording import Recording, RecordingError

_ASKING = {
    "_local_scalar_dense": "asks for a value",
    "equal": "asks whether tensors are equal",
    "allclose": "asks whether tensors are equal",
    "is_nonzero": "asks for a value",
    "histc": "asks for a value",
    "_linalg_check_errors": "asks whether a matrix was factorised: use the _ex function",
    "_linalg_eigh": "waits for a decomposition",
    "_linalg_svd": "waits for a decomposition",
    "linalg_eig": "waits for a decomposition",
    "nonzero": "has a shape that depends on values",
    "masked_select": "has a shape that depends on values",
    "unique": "has a shape that depends on values",
    "_unique2": "has a shape that depends on values",
    "unique_dim": "has a shape that depends on values",
    "unique_consecutive": "has a shape that depends on values",
    "bincount": "has a shape that depends on values",
    "lift_fresh": "copies numbers from Python: use torch.full, new_full or an argument",
}
_FETCHING = {"cpu", "numpy", "tolist", "item", "__array__", "__bool__", "__float__", "__int__"}
_FACTORIES = {"arange", "empty", "eye", "full", "linspace", "ones", "triu_indices", "zeros"}


@dataclass(frozen=True)
class _Operation:
    """One operation of torch: its function, its arguments, and the new tensors it returned."""

    function: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: list[Tensor]
    description: tuple[object, ...]

    def repeat(self) -> None:
        """Compute the results again, in the same memory."""
        values = _tensors(self.function(*self.arguments, **self.options))
        addresses = {address(t) for t in _tensors((self.arguments, self.options))}
        fresh = [value for value in values if address(value) not in addresses]
        for result, value in zip(self.results, fresh, strict=True):
            result.copy_(value)


@final
class _Recorder(TorchDispatchMode):
    """Collects the operations of torch that are executed within it."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generators = generators
        self.operations: list[_Operation] = []
        self.made: dict[int, int] = {}  # the addresses of new tensors, numbered

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function.namespace == "profiler":  # the optimisers' labels for profiles
            return function(*args, **kwargs)
        self._check(function, (args, kwargs))
        arguments, options = tree_map_only(Tensor, Tensor.detach, (args, kwargs))
        description = (str(function), *map(self._describe, tree_leaves((args, kwargs))))
        value = function(*args, **kwargs)
        known = {address(t) for t in _tensors((args, kwargs))}
        results = [t.detach() for t in _tensors(value) if address(t) not in known]
        for result in results:
            self.made.setdefault(address(result), len(self.made))
        self.operations.append(_Operation(function, arguments, options, results, description))
        return value

    def _check(self, function: Any, arguments: Any) -> None:
        name = function.overloadpacket.__name__
        if name in _ASKING:
            raise RecordingError(f"the step {_ASKING[name]} ({function})")
        if name == "repeat_interleave" and arguments[1].get("output_size") is None:
            raise RecordingError(f"the step has a shape that depends on values ({function})")
        tensors = _tensors(arguments)
        masks = [t for t in tensors[1:] if t.dtype in (torch.bool, torch.uint8)]
        if masks and name in ("index", "index_put", "index_put_"):
            raise RecordingError(f"the step has a shape that depends on a mask ({function})")
        leaves = tree_leaves(arguments)
        drawn_from = {identity(leaf) for leaf in leaves if isinstance(leaf, torch.Generator)}
        is_random = torch.Tag.nondeterministic_seeded in function.tags
        if is_random and not drawn_from & set(map(identity, self.generators)):
            raise RecordingError(
                f"the step draws from a generator that is not its own ({function})"
            )

    def _describe(self, argument: object) -> object:
        """Return what must be the same at every step."""
        if isinstance(argument, torch.Generator):
            return identity(argument)
        if not isinstance(argument, Tensor):
            return "NaN" if argument != argument else argument
        place = self.made.get(address(argument))
        kind = f"at {address(argument)}" if place is None else f"number {place}"
        layout = argument.storage_offset(), argument.stride()
        return tuple(argument.shape), argument.dtype, kind, layout


class _NoFetching(TorchFunctionMode):
    """Forbids copies between a device and the CPU that are invisible if the CPU is the device."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        if name in _FETCHING or (name == "to" and [a for a in args[1:] if isinstance(a, str)]):
            raise RecordingError(f"the step asks for values (Tensor.{name})")
        if name in _FACTORIES and kwargs.get("device") is None:
            raise RecordingError(f"the step makes a tensor on the CPU: name its device ({name})")
        return function(*args, **kwargs)


@final
class Tape(Recording):
    """Steps recorded as operations of torch.

    Every other replay repeats the recorded operations, without Python. The others take the step
    anew and compare: it must consist of the same operations, with the same numbers, on the same
    lasting tensors. Between steps, tensors that a step made are overwritten.
    """

    def __init__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        self.work, self.generators = work, generators
        self.operations = self._take()
        self.replays = 0

    def replay(self) -> None:
        """Take the step again, in one of the two ways."""
        self.replays += 1
        if self.replays % 2:
            with torch.no_grad():
                for operation in self.operations:
                    operation.repeat()
            _overwrite(self.operations)
        else:
            _require_same(self.operations, self._take())

    @staticmethod
    def warm_up(work: Callable[[], None]) -> None:
        """Do the work."""
        work()

    def _take(self) -> list[_Operation]:
        recorder = _Recorder(self.generators)
        with recorder, _NoFetching():
            self.work()
        _overwrite(recorder.operations)
        return recorder.operations


def address(tensor: Tensor) -> int:
    """Return where the memory of a tensor begins."""
    return tensor.untyped_storage().data_ptr()


def identity(generator: torch.Generator) -> object:
    """Return what is equal for all objects of Python that stand for the same generator."""
    return generator._cdata  # type: ignore[attr-defined]


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


@torch.no_grad()
def _overwrite(operations: Sequence[_Operation]) -> None:
    """Fill what a step made with values that spoil whoever reads them."""
    for operation in operations:
        for result in operation.results:
            if result.dtype.is_floating_point or result.dtype.is_complex:
                result.fill_(torch.nan)
            else:
                result.fill_(1 if result.dtype == torch.bool else torch.iinfo(result.dtype).max)


def _require_same(recorded: Sequence[_Operation], taken: Sequence[_Operation]) -> None:
    for n, (before, now) in enumerate(zip(recorded, taken, strict=False)):
        if before.description != now.description:
            raise RecordingError(
                f"the step changes between calls: its operation {n} was {before.description} when "
                f"it was recorded and is now {now.description}"
            )
    if len(recorded) != len(taken):
        raise RecordingError(
            f"the step changes between calls: it had {len(recorded)} operations when it was "
            f"recorded and has {len(taken)} now"
        )
