"""The random numbers of training, with one generator per replica."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


class Draws:
    """Random numbers of R replicas, each drawn from its own generator.

    A replica's numbers depend on its seed alone, so it gives the same result alone or with others,
    and torch's global generator is never used. Each `stream` gives the same seeds different
    numbers.
    """

    def __init__(
        self, seeds: Sequence[int], device: torch.device | str = "cpu", *, stream: str = ""
    ) -> None:
        self.device = torch.device(device)
        self.generators = [
            torch.Generator(device).manual_seed(_stream_seed(seed, stream)) for seed in seeds
        ]

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, shape (R, *shape)."""
        return self._filled(shape, torch.float32, lambda row, g: row.normal_(generator=g))

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers uniform on [0, 1), shape (R, *shape)."""
        return self._filled(shape, torch.float32, lambda row, g: row.uniform_(generator=g))

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Return booleans that are true with a probability above 0, shape (R, *shape).

        The probability is rounded to a multiple of 2⁻¹⁶. Generating numbers is the bottleneck, so
        each 64-bit integer gives four booleans.
        """
        n = math.prod(shape)
        words = self._filled(
            (-(-n // 4),), torch.int64, lambda row, g: row.random_(-(2**63), None, generator=g)
        )
        threshold = 2**15 - round(probability * 2**16)
        return (words.view(torch.int16)[:, :n] >= threshold).unflatten(1, shape)

    def permutation(self, n: int) -> Tensor:
        """Return a random order of n points for every replica, shape (R, n), int64."""
        return self._filled(
            (n,), torch.int64, lambda row, g: torch.randperm(n, generator=g, out=row)
        )

    def state(self) -> dict[str, Tensor]:
        """Return the state of every generator."""
        return {str(r): g.get_state() for r, g in enumerate(self.generators)}

    def selected(self, replicas: Sequence[int]) -> dict[str, Tensor]:
        """Return the state of the generators of these replicas."""
        return {str(i): self.generators[r].get_state() for i, r in enumerate(replicas)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state of every generator."""
        for r, generator in enumerate(self.generators):
            generator.set_state(state[str(r)].cpu())

    def _filled(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        fill: Callable[[Tensor, torch.Generator], object],
    ) -> Tensor:
        numbers = torch.empty(len(self.generators), *shape, dtype=dtype, device=self.device)
        for row, generator in zip(numbers, self.generators, strict=True):
            fill(row, generator)
        return numbers


def _stream_seed(seed: int, stream: str) -> int:
    if not stream:
        return seed
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return int.from_bytes(digest[:7])
