"""The same search with and without early stopping: time and quality of the finalists.

    python -m tests.benchmarks.stopping [--method gmvae] [--trials 60] [--seeds 2] [--out FILE]

Searches on digits with K = 10, once per seed and scheduler, in alternating turns. Compares the
time of the whole search, and the score and accuracy (hungarian) of the finalists on the test
split.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._common import argument_parser, in_turns, ratio, write


def search(method: str, trials: int, seed: int, scheduler: str) -> dict[str, Any]:
    """Run one search in a temporary folder and return its result."""
    flags = ["-m", method, "--trials", trials, "--seed", seed, "--scheduler", scheduler]
    command = [sys.executable, "-m", "tuner", "search", *map(str, flags)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--set", "n_components=10", "--json"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def summary(results: list[dict[str, Any]]) -> str:
    """Return the means over the finalists of all searches, as text."""
    finalists = [finalist for one in results for finalist in one["finalists"]]
    score = statistics.mean(f["score"] for f in finalists)
    accuracy = statistics.mean(f["hungarian"] for f in finalists)
    champions = ", ".join(f"{one['audit']['hungarian']:.3f}" for one in results)
    pruned = sum(one["trials"]["pruned"] for one in results)
    means = f"finalists' score {score:.3f}, accuracy {accuracy:.3f}"
    return f"{means}; champions {champions}; {pruned} pruned"


def main() -> None:
    """Run the searches, from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--method", default="gmvae")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"none": [], "asha": []}

    def run(scheduler: str) -> None:
        seed = len(found[scheduler])
        found[scheduler].append(search(args.method, args.trials, seed, scheduler))

    none, asha = in_turns({"none": lambda: run("none"), "asha": lambda: run("asha")}, args.seeds)
    facts = {scheduler: summary(results) for scheduler, results in found.items()}
    write(args.out, [none, asha], faster=ratio(none, asha), ends_with=facts, found=found)


if __name__ == "__main__":
    main()
