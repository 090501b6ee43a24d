"""All that a GPU decides: time and memory of recorded steps, their exactness, sharing, kernels.

    python -m tests.benchmarks.gpu [--minutes 4] [--device cuda] [--methods a,b]
        [--parts steps,exactness,conformance,methods,kernels,sharing] [--out FILE]

The parts, in this order, with shares of the time of which one leaves to the next what it does not
need:

- steps: milliseconds per training step, recorded and called, and the memory, for the settings that
  matter most, on MNIST; and how far a step is from the limit of the device;
- exactness: by how much training with recorded steps differs from called ones;
- conformance: all checks of `tuner.testing` on the device;
- methods: as steps, for the other methods at their presets;
- kernels: those of a step, and other ways to do its slowest parts;
- sharing: several processes on one device.

A case that fails is noted and the rest goes on, also if it takes its process with it or hangs.
The file is rewritten after every case. On the CPU everything is tiny, and steps are only called.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tests.benchmarks import STARTED
from tests.benchmarks._common import argument_parser
from tests.benchmarks._gpu_results import (
    REHEARSAL,
    SHARES,
    UNUSABLE,
    Budget,
    Case,
    Facts,
    Results,
    reason,
)
from tests.benchmarks._gpu_table import rows, text
from tuner.methods import catalog

if TYPE_CHECKING:
    from tests.benchmarks._gpu_bench import Bench

_ROOT = Path(__file__).parents[2]
_LAST_WORDS = 2.0  # seconds that are kept for printing
_MOST_STARTS = 10
_GAVE_UP = "RuntimeError: the device no longer works"


def main() -> None:
    """Measure, from the command line."""
    args = _arguments()
    if args.worker:
        _work(json.loads(args.worker))
        return
    signal.signal(signal.SIGTERM, _interrupt)
    facts = {"minutes": args.minutes, "parts": args.parts}
    path = Results.begin(_file(args.out), facts).path
    try:
        _supervise(args, path)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    results = Results.read(path)
    results.document["table"] = rows(results.cases)
    results.write()
    print(text(results.document), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if there is one")
    parser.add_argument("--methods", help="comma-separated names; default: all")
    parser.add_argument("--parts", default=",".join(SHARES), help="comma-separated")
    parser.add_argument("--out", type=Path, help="default: gpu.json, in the folder $OUT if set")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    given = args.parts.split(",")
    if unknown := set(given) - set(SHARES):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose from {', '.join(SHARES)}")
    args.parts = tuple(part for part in SHARES if part in given)
    methods = args.methods.split(",") if args.methods else catalog.names()
    if unknown := set(methods) - set(catalog.names()):
        parser.error(f"no method {', '.join(sorted(unknown))}: choose from {catalog.names()}")
    args.methods = tuple(methods)
    return args


def _file(given: Path | None) -> Path:
    return (given or Path(os.environ.get("OUT") or ".") / "gpu.json").absolute()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _supervise(args: argparse.Namespace, path: Path) -> None:
    """Let processes do the cases, a new one after each that does not survive a case."""
    seconds, start = 60 * args.minutes, time.time() - (time.monotonic() - STARTED)
    options = {
        "kind": "parts",
        "device": args.device,
        "methods": args.methods,
        "parts": args.parts,
        "start": start,
        "seconds": 0.95 * seconds - _LAST_WORDS,  # the last case may take a little longer
        "path": str(path),
    }
    end = start + seconds - _LAST_WORDS
    for _ in range(_MOST_STARTS):
        before = len(Results.read(path).cases)
        why = _run(options, path, end, patience=max(45.0, 0.2 * seconds))
        if why is None or time.time() > end:
            return
        results = Results.read(path)
        if running := results.document["running"]:
            results.fail(running, why)
        elif why is not _GAVE_UP or len(results.cases) == before:
            results.fail("start", why)
            return


def _run(options: Facts, path: Path, end: float, patience: float) -> str | None:
    """Run a process to its end, and return why that was not a good one."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--worker", json.dumps(options)]
    process = subprocess.Popen(command, cwd=_ROOT)
    began = time.time()
    try:
        while process.poll() is None:
            if time.time() > end:
                print("          the time is over", flush=True)
                return "TimeoutError: the time was over"
            if time.time() - max(began, path.stat().st_mtime) > patience:
                return f"TimeoutError: no result within {patience:.0f} s"
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    if process.returncode == UNUSABLE:
        return _GAVE_UP  # after it has recorded what failed
    return f"ProcessDied: exit status {process.returncode}" if process.returncode else None


def _work(options: Facts) -> None:
    """Do the work of a process, which is not meant to be called by hand."""
    if options["kind"] == "crew":
        from tests.benchmarks._gpu_sharing import serve

        serve(options)
        return
    results = Results.read(Path(options["path"]))
    try:
        _measure(options, results)
    except Exception as error:
        results.fail("start", reason(error))
    sys.stdout.flush()
    os._exit(0)  # without cleaning up, which could fail after all has been measured


def _measure(options: Facts, results: Results) -> None:
    """Measure part after part, going on where an earlier process ended."""
    import torch

    from tests.benchmarks._gpu_bench import Bench

    device = options["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    results.document |= {"device": name, "torch": torch.__version__}
    bench = Bench(device, tuple(options["methods"]), results)
    shares = SHARES if bench.on_gpu else REHEARSAL
    budget = Budget(options["start"], options["seconds"], tuple(options["parts"]), shares)
    for part in budget.parts:
        _measure_part(bench, part, budget)


def _measure_part(bench: "Bench", part: str, budget: Budget) -> None:
    if budget.over:
        return
    try:
        with bench.closing:
            cases = _cases(bench, part)
            bench.results.measure(part, cases, budget, bench.recover)
    except Exception as error:  # the other parts go on
        bench.results.fail(f"{part}/plan", reason(error))


def _cases(bench: "Bench", part: str) -> list[Case]:
    """Return the cases of a part, whose module is imported only now."""
    from importlib import import_module

    module, function = {
        "steps": ("steps", "named_cases"),
        "exactness": ("checks", "exactness_cases"),
        "conformance": ("checks", "conformance_cases"),
        "methods": ("steps", "other_cases"),
        "sharing": ("sharing", "cases"),
        "kernels": ("kernels", "cases"),
    }[part]
    return getattr(import_module(f"tests.benchmarks._gpu_{module}"), function)(bench)


if __name__ == "__main__":
    main()
