"""A search on data of many gigabytes, which its workers map: memory, disk and time.

    python -m tests.benchmarks.mapped [--gigabytes N] [--features N] [--workers N] [--trials N]

Writes normal points in ten clusters as a `.npy` file of that size, searches it, and prints how
long each step took and what the workers held at most: memory of their own, and how much of the
mapped points was in memory, once per worker and once per machine.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from tests.benchmarks._common import argument_parser
from tests.tuner.faults.locations import Field

_BLOCK = 2**16
_MIB = 2**20


def write_points(path: Path, points: int, features: int) -> None:
    """Write points in ten clusters, block by block."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, features)).astype(np.float32)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (points, features))
    for first in range(0, points, _BLOCK):
        size = min(_BLOCK, points - first)
        noise = rng.standard_normal((size, features), dtype=np.float32)
        file[first : first + size] = centres[rng.integers(10, size=size)] + noise
    file.flush()


class Peaks:
    """The most that the processes of a search held."""

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self.mapped = self.shared = self.workers = 0

    def look(self, driver: psutil.Process) -> None:
        """Take note of what a driver and its descendants hold."""
        resident = proportional = workers = 0
        for process in (driver, *driver.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                words = " ".join(process.cmdline()[:1])
                kind = "driver" if process == driver else words.partition(".")[0]
                if kind != "driver" and not kind.startswith("ray::"):
                    continue
                own = process.memory_full_info().uss
                self.own[kind] = max(self.own.get(kind, 0), own)
                maps = [m for m in process.memory_maps() if "/mapped/" in m.path]
                resident += sum(m.rss for m in maps)
                proportional += sum(m.pss for m in maps)
                workers += bool(maps)
        if resident > self.mapped:
            self.mapped, self.shared, self.workers = resident, proportional, workers


def search(field: Field, data: Path, options: list[str]) -> Peaks:
    """Run a search to its end and return what it held."""
    peaks = Peaks()
    words = ("search", "-d", str(data), "--name", "mapped", *options)
    with field.driver(*words, stdout=subprocess.DEVNULL, stderr=sys.stderr) as process:
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                peaks.look(driver)
            time.sleep(2)
    assert process.returncode == 0
    return peaks


def main() -> None:
    """Print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--method", default="ae_gmm")
    args = parser.parse_args()
    points = int(args.gigabytes * 1e9 / 4 / args.features)
    options = ["-m", args.method, "--trials", str(args.trials), "--workers", str(args.workers)]
    options += ["--replicas", "1", "--epochs", "1", "--scheduler", "none"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        field = Field(folder, settings={"TUNER_DATA_HOME": str(folder / "home")})
        data = folder / "points.npy"
        began = time.monotonic()
        write_points(data, points, args.features)
        print(
            f"{points:,} points of {args.features} features written in "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
        began = time.monotonic()
        peaks = search(field, data, options)
        print(f"search of {args.trials} trials: {time.monotonic() - began:.0f} s")
        size = sum(path.stat().st_size for path in (folder / "home/mapped").rglob("*.npy"))
    print(f"mapped files: {size / _MIB:,.0f} MiB")
    for kind, own in peaks.own.items():
        print(f"{kind:40} memory of its own, at most: {own / _MIB:,.0f} MiB")
    print(
        f"mapped points in memory: {peaks.mapped / _MIB:,.0f} MiB over {peaks.workers} processes,"
        f" {peaks.shared / _MIB:,.0f} MiB on the machine"
    )


if __name__ == "__main__":
    main()
