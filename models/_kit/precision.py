"""The precision of matrix products: bfloat16 where it saves time, float32 for densities."""

from functools import cache

import torch

MIN_WIDTH = 256
"""Least width of the data for bfloat16. Below it, matrix products take little of the time."""


def mixed_precision(device: torch.device, width: int) -> torch.autocast:
    """Return a context in which matrix products are bfloat16, if that is faster.

    It is for data of at least `MIN_WIDTH` features, on devices that multiply bfloat16 natively.
    Weights, optimiser moments and sums stay float32, and heads return float32 for densities.
    Trained models are evaluated outside of the context, in float32. The context caches the
    bfloat16 copies of the weights, so enter a new one after every optimiser step.
    """
    enabled = width >= MIN_WIDTH and _multiplies_bfloat16(device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def full_precision(device: torch.device) -> torch.autocast:
    """Return a context in which matrix products are float32, also within `mixed_precision`."""
    return torch.autocast(device.type, enabled=False)


@cache
def _multiplies_bfloat16(device_type: str) -> bool:
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)
