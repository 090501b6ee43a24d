"""Early stopping against none: the same search with and without, and what each ends with.

    python -m tests.benchmarks.stopping [--method gmvae] [--trials 60] [--seeds 2] [--out FILE]

Digits with K = 10, a search per seed and scheduler, in turns. What is compared is the time of the
whole search, and score and accuracy (hungarian) of the finalists on the test split.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._ratios import in_turns, ratio, write


def search(method: str, trials: int, seed: int, scheduler: str) -> dict[str, Any]:
    """Run one search in a folder of its own and return its result."""
    words = ["-m", method, "--trials", trials, "--seed", seed, "--scheduler", scheduler]
    line = [sys.executable, "-m", "tuner", "search", *map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*line, "--set", "n_components=10", "--json"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(results: list[dict[str, Any]]) -> str:
    """Return what searches ended with: the mean over their finalists' seeds."""
    finalists = [finalist for one in results for finalist in one["finalists"]]
    score = statistics.mean(f["score"] for f in finalists)
    accuracy = statistics.mean(f["hungarian"] for f in finalists)
    champions = ", ".join(f"{one['audit']['hungarian']:.3f}" for one in results)
    pruned = sum(one["trials"]["pruned"] for one in results)
    means = f"finalists' score {score:.3f}, accuracy {accuracy:.3f}"
    return f"{means}; champions {champions}; {pruned} pruned"


def main() -> None:
    """Run the searches."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--method", default="gmvae")
    flags.add_argument("--trials", type=int, default=60)
    flags.add_argument("--seeds", type=int, default=2)
    flags.add_argument("--out", type=Path)
    given = flags.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"none": [], "asha": []}

    def run(scheduler: str) -> None:
        seed = len(found[scheduler])
        found[scheduler].append(search(given.method, given.trials, seed, scheduler))

    none, asha = in_turns({"none": lambda: run("none"), "asha": lambda: run("asha")}, given.seeds)
    facts = {scheduler: told(results) for scheduler, results in found.items()}
    write(given.out, [none, asha], faster=ratio(none, asha), ends_with=facts, found=found)


if __name__ == "__main__":
    main()
