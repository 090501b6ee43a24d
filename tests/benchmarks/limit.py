"""EM-VAE against the limit of the device, from operations, bytes and measured rates.

    python -m tests.benchmarks.limit [--device cuda] [--points 60000] [--iterations 1] [--profile]

Trains the paper's networks on MNIST. The limit is the time for the matrix products of both steps
and the memory traffic of Adam, at the rates that the device reaches in one large product of the
same precision and in one large copy. `--profile` shows where the remaining time is spent.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.profiler import profile

from tests.benchmarks._common import Timed, argument_parser, ratio, write
from tuner.data import load
from tuner.models._kit.precision import mixed_precision
from tuner.models.em_vae.method import EMVAE, EMVAEConfig
from tuner.models.em_vae.steps import effective_share

SIDE = 4096
COPIED = 1 << 26  # float32 values
ADAM_BYTES = 28  # per parameter: read p, g, m, v and write p, m, v


def seconds(work: Callable[[], object], device: str, runs: int = 5) -> float:
    """Return the shortest of several runs, after one to warm up."""
    times = []
    for _ in range(runs + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def rates(device: str, side: int = SIDE, copied: int = COPIED) -> tuple[float, float]:
    """Return operations per second of matrix products as in training, and bytes per second."""
    a = torch.randn(side, side, device=device)
    b = torch.randn(side, side, device=device)
    with mixed_precision(torch.device(device), side):
        probe = a @ b
        a, b = a.to(probe.dtype), b.to(probe.dtype)
    product = seconds(lambda: a @ b, device)
    source, target = torch.empty(2, copied, device=device)
    copy = seconds(lambda: target.copy_(source), device)
    return 2 * side**3 / product, 8 * copied / copy


def required(config: EMVAEConfig, points: int, features: int) -> tuple[float, float]:
    """Return the operations and the bytes of one iteration of one replica."""
    K, H, D = config.n_components, config.hidden_size, config.latent_size
    encoder, decoder = features * H + 2 * H * D, D * H + H * features
    steps = config.m_step_epochs * -(-points // config.batch_size)
    weighted = config.m_step_epochs * points * K * effective_share("", K)
    m_step = 6 * (encoder + decoder) * weighted
    e_step = 2 * points * K * (encoder + config.mc_samples * decoder)
    return m_step + e_step, steps * K * (encoder + decoder) * ADAM_BYTES


def main() -> None:
    """Measure the rates, compute the limit, train, and compare."""
    parser = argument_parser(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--points", type=int, default=60_000)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    x = torch.from_numpy(load("mnist").train[: args.points]).to(args.device)
    config = EMVAEConfig(n_components=10, iterations=1 + args.iterations, diffusion_steps=0)
    operations, moved = required(config, len(x), x[0].numel())
    multiply, copy = rates(args.device)
    limit = args.iterations * (operations / multiply + moved / copy)
    method = EMVAE(config, x.shape[1:], [0], device=args.device)
    reports = method.fit(x)
    for _ in range(config.m_step_epochs):  # the first M-step starts from random responsibilities
        next(reports)
    with profile() if args.profile else nullcontext() as profiled:
        _wait(args.device)
        start = time.perf_counter()
        for _ in reports:
            pass
        _wait(args.device)
        elapsed = time.perf_counter() - start
    if profiled is not None:
        print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
    measured, ideal = Timed("one EM iteration", (elapsed,)), Timed("limit", (limit,))
    write(
        args.out,
        [measured, ideal],
        device=args.device,
        teraflops=multiply / 1e12,
        gigabytes_per_second=copy / 1e9,
        times_the_limit=ratio(measured, ideal),
    )


if __name__ == "__main__":
    main()
