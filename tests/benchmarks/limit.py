"""EM-VAE against the limit of the device: what must be multiplied and moved, at measured rates.

    python -m tests.benchmarks.limit [--device cuda] [--points 60000] [--iterations 1] [--profile]

The paper's networks and M-steps on MNIST. The limit counts the matrix products of both steps and
the bytes of Adam, divided by what the device reaches in one large product of the same precision
and in one large copy. `--profile` shows where the rest goes.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.profiler import profile

from tests.benchmarks._ratios import Timed, ratio, write
from tuner.data import load
from tuner.models._kit.precision import mixed_precision
from tuner.models.em_vae.method import EMVAE, EMVAEConfig
from tuner.models.em_vae.steps import effective_share

SIDE = 4096
COPIED = 1 << 26  # numbers
ADAM_BYTES = 28  # per parameter: read p, g, m, v and write p, m, v


def seconds(work: Callable[[], object], device: str, turns: int = 5) -> float:
    """Return the shortest of several turns, after one to warm up."""
    found = []
    for _ in range(turns + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - began)
    return min(found[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def rates(device: str) -> tuple[float, float]:
    """Return operations per second of products as training does them, and bytes per second."""
    a = torch.randn(SIDE, SIDE, device=device)
    b = torch.randn(SIDE, SIDE, device=device)
    with mixed_precision(torch.device(device), SIDE):
        probe = a @ b
        a, b = a.to(probe.dtype), b.to(probe.dtype)
    product = seconds(lambda: a @ b, device)
    source, target = torch.empty(2, COPIED, device=device)
    copy = seconds(lambda: target.copy_(source), device)
    return 2 * SIDE**3 / product, 8 * COPIED / copy


def required(config: EMVAEConfig, points: int, features: int) -> tuple[float, float]:
    """Return the operations and the bytes of one iteration of one replica."""
    K, H, D = config.n_components, config.hidden_size, config.latent_size
    encoder, decoder = features * H + 2 * H * D, D * H + H * features
    steps = config.m_step_epochs * -(-points // config.batch_size)
    seen = config.m_step_epochs * points * K * effective_share("", K)
    m_step = 6 * (encoder + decoder) * seen
    e_step = 2 * points * K * (encoder + config.mc_samples * decoder)
    return m_step + e_step, steps * K * (encoder + decoder) * ADAM_BYTES


def main() -> None:
    """Measure rates, count, train, and compare."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags.add_argument("--points", type=int, default=60_000)
    flags.add_argument("--iterations", type=int, default=1)
    flags.add_argument("--threads", type=int)
    flags.add_argument("--profile", action="store_true")
    flags.add_argument("--out", type=Path)
    given = flags.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    x = torch.from_numpy(load("mnist").train[: given.points]).to(given.device)
    config = EMVAEConfig(n_components=10, iterations=1 + given.iterations)
    operations, moved = required(config, len(x), x[0].numel())
    multiply, copy = rates(given.device)
    limit = given.iterations * (operations / multiply + moved / copy)
    method = EMVAE(config, x.shape[1:], [0], device=given.device)
    reports = method.fit(x)
    for _ in range(config.m_step_epochs):  # the first M-step is that of a random start
        next(reports)
    with profile() if given.profile else nullcontext() as seen:
        _wait(given.device)
        began = time.perf_counter()
        for _ in reports:
            pass
        _wait(given.device)
        took = time.perf_counter() - began
    if seen is not None:
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
    reached, ideal = Timed("one EM iteration", (took,)), Timed("limit", (limit,))
    write(
        given.out,
        [reached, ideal],
        device=given.device,
        teraflops=multiply / 1e12,
        gigabytes_per_second=copy / 1e9,
        times_the_limit=ratio(reached, ideal),
    )


if __name__ == "__main__":
    main()
