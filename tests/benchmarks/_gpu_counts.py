"""What a training step consists of, and the least time that the device could take for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks._gpu_bench import Bench, Setting
from tests.benchmarks._gpu_results import Facts
from tests.benchmarks.limit import ADAM_BYTES, rates, required
from tuner.methods.contract import Method, Trains
from tuner.models._kit.recording import Step

RATES = "steps/rates"


@final
@dataclass
class Counts:
    """The operations of torch in a step, its floating point operations, and its sizes."""

    batch: int  # points, over all networks
    operations: int = 0  # without views
    views: int = 0
    flops: int = 0  # of products; too many where convolutions have groups
    parameters: int = 0  # that get a gradient


@final
class _Operations(TorchDispatchMode):
    """Counts the operations of torch that are executed within it."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function.namespace != "profiler":  # the optimisers' labels for profiles
            if getattr(function, "is_view", False):
                self.counts.views += 1
            else:
                self.counts.operations += 1
        return function(*args, **(kwargs or {}))


def counts_of(step: Step, arguments: Sequence[Tensor], method: Method) -> Facts:
    """Take a step, which is called and not recorded, and return what it consists of."""
    parameters = [p for _, p in method.parameters()] if isinstance(method, Trains) else []
    for parameter in parameters:
        parameter.grad = None
    counts = Counts(batch=arguments[0].numel())
    with _Operations(counts), FlopCounterMode(display=False) as flops:
        step(*arguments)
    counts.flops = flops.get_total_flops()
    counts.parameters = sum(p.numel() for p in parameters if p.grad is not None)
    return dict(vars(counts))


def measured_rates(bench: Bench) -> Facts:
    """Return operations per second of products and bytes per second of copies."""
    if bench.on_gpu:
        _speed_up(bench.device)
        product, copy = rates(bench.device)
    else:
        product, copy = rates(bench.device, side=512, copied=1 << 20)
    return {"product": product, "copy": copy}


def limit_ms(bench: Bench, setting: Setting, counts: Facts, points: int) -> float | None:
    """Return the time of a step of one replica at the measured rates, None if they are unknown.

    It is that of its products at the rate of one large product, and of Adam's traffic and the
    batch at the rate of one large copy. For EM-VAE they follow from its sizes, as in `limit`.
    """
    measured = bench.results.cases.get(RATES, {})
    if "product" not in measured:
        return None
    features = math.prod(bench.x.shape[1:])
    flops, moved = counts["flops"], ADAM_BYTES * counts["parameters"]
    if setting.method == "em_vae":
        flops, moved = _em_vae_step(setting, points, features)
    moved += 4 * features * counts["batch"]
    return float(1e3 * (flops / measured["product"] + moved / measured["copy"]))


def _em_vae_step(setting: Setting, points: int, features: int) -> tuple[float, float]:
    """Return the operations and bytes of a step: the difference of two iterations, per step."""
    config: Any = setting.config
    one, two = (required(replace(config, m_step_epochs=n), points, features) for n in (1, 2))
    steps = -(-points // config.batch_size)
    return (two[0] - one[0]) / steps, (two[1] - one[1]) / steps


def _speed_up(device: str) -> None:
    """Keep the device busy for a moment, since an idle one runs slowly at first."""
    a = torch.randn(4096, 4096, device=device, dtype=torch.bfloat16)
    for _ in range(1000):
        a @ a
    torch.cuda.synchronize()
