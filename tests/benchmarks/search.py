"""A search beside the documented stack of Ray Tune, OptunaSearch and MLflow's Ray callback.

    RAY_worker_niceness=0 python -m tests.benchmarks.search --work idle|gmvae [--trials N]

`idle`: trials that learn nothing; the figure is the wall time of a trial at steady state, from the
tenth that ends to the last. `gmvae`: a whole search on digits, in this package to a champion in
the registry, in the other stack to the best trial. Every side runs in a process and a folder of
its own, in turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._ratios import Timed, in_turns, ratio, write

TRIALS = {"idle": 40, "gmvae": 200}


def run(*words: object, folder: str) -> dict[str, Any]:
    """Run a command in a folder and return the JSON that it prints."""
    line = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def main() -> None:
    """Run both sides in turns and print the ratio."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--work", choices=TRIALS, required=True)
    flags.add_argument("--trials", type=int)
    flags.add_argument("--turns", type=int, default=1)
    flags.add_argument("--out", type=Path)
    given = flags.parse_args()
    trials = given.trials or TRIALS[given.work]
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "documented": []}

    def documented() -> None:
        with tempfile.TemporaryDirectory() as folder:
            words = ("--work", given.work, "--trials", trials, "--folder", folder)
            here = str(Path.cwd())
            found["documented"].append(run("tests.benchmarks.documented", *words, folder=here))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            if given.work == "idle":
                words = ("tests.benchmarks.overhead", "--trials", trials)
                found["ours"].append(run(*words, folder=str(Path.cwd())))
            else:
                words = ("tuner", "search", "-m", "gmvae", "--trials", trials)
                found["ours"].append(run(*words, "--json", folder=folder))

    timed = {t.name: t for t in in_turns({"documented": documented, "ours": ours}, given.turns)}
    if given.work == "idle":
        timed = {
            name: Timed(name, tuple(one["seconds_per_trial"] for one in each))
            for name, each in found.items()
        }
    faster = ratio(timed["documented"], timed["ours"])
    write(given.out, list(timed.values()), trials=trials, faster=faster, found=found)


if __name__ == "__main__":
    main()
