"""A search against the documented stack of Ray Tune, OptunaSearch and MLflow's Ray callback.

    RAY_worker_niceness=0 python -m tests.benchmarks.search --work idle|gmvae [--trials N]

`idle` runs trials without training. Its figure is the wall time per trial in the steady state,
from the end of the tenth trial to the end of the last. `gmvae` runs a complete search on digits,
which ends with a registered champion in this package and with the best trial in the other stack.
Both run in alternating turns, each in a separate process and folder.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._common import Timed, argument_parser, in_turns, ratio, write

TRIALS = {"idle": 40, "gmvae": 200}


def run(*arguments: object, folder: str) -> dict[str, Any]:
    """Run a Python module in a folder and return the JSON that it prints."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        ending = f"{' '.join(command)} ended with {done.returncode}"
        raise SystemExit(f"{ending}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def main() -> None:
    """Run both stacks in turns and print the ratio of their times."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", choices=TRIALS, required=True)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    trials = args.trials or TRIALS[args.work]
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "documented": []}

    def documented() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = ("--work", args.work, "--trials", trials, "--folder", folder)
            here = str(Path.cwd())
            found["documented"].append(run("tests.benchmarks.documented", *arguments, folder=here))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            if args.work == "idle":
                arguments = ("tests.benchmarks.overhead", "--trials", trials)
                found["ours"].append(run(*arguments, folder=str(Path.cwd())))
            else:
                arguments = ("tuner", "search", "-m", "gmvae", "--trials", trials)
                found["ours"].append(run(*arguments, "--json", folder=folder))

    timed = {t.name: t for t in in_turns({"documented": documented, "ours": ours}, args.turns)}
    if args.work == "idle":
        timed = {
            name: Timed(name, tuple(one["seconds_per_trial"] for one in each))
            for name, each in found.items()
        }
    faster = ratio(timed["documented"], timed["ours"])
    write(args.out, list(timed.values()), trials=trials, faster=faster, found=found)


if __name__ == "__main__":
    main()
