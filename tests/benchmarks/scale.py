"""The cost of a long search to its driver: ledger, sampler, status, and MLflow's runs.

    python -m tests.benchmarks.scale [--trials N] [--sampler NAME] [--runs N]

Runs made-up trials of nine reports through the real controller and the real ledger in an SQLite
file, without Ray and without training, and prints seconds per trial and of the sampler alone for
each stretch of the search. Then it times what `tuner status` and a new driver do with such a
ledger, and writes `--runs` of the trials to MLflow in an SQLite file, with the time of the page of
child runs that MLflow's interface asks for.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks._common import argument_parser
from tests.tuner.faults.plans import plan
from tests.tuner.faults.rehearsal import NAME, controller_of, execute, opened
from tuner.ledger.ledger import Ledger
from tuner.orchestration.status import status_of
from tuner.study.plan import Plan
from tuner.tracking import Tracker, connect
from tuner.tracking.records import plan_tags, trial_run_record

_STRETCHES = 5


class Clock:
    """Adds up the seconds that a method takes."""

    def __init__(self, owner: object, name: str) -> None:
        self.seconds, method = 0.0, getattr(owner, name)

        def timed(*args: object, **options: object) -> object:
            began = time.perf_counter()
            try:
                return method(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.perf_counter()
    yield
    print(f"{what:44} {time.perf_counter() - began:9.3f} s")


def run_trials(study: Plan, url: str, folder: Path) -> None:
    """Run the search in stretches and print a row for each."""
    ledger = opened(url, study)
    controller = controller_of(study, ledger, folder)
    asks = Clock(ledger, "ask")
    print(f"{'trials':>12} {'ms per trial':>14} {'ms to suggest':>14} {'MiB':>6}")
    size = study.study.trials // _STRETCHES
    for stretch in range(_STRETCHES):
        before, began = asks.seconds, time.perf_counter()
        ledger.size = (stretch + 1) * size
        execute(controller, workers=8)
        seconds, asked = time.perf_counter() - began, asks.seconds - before
        memory = psutil.Process().memory_info().rss / 2**20
        label = f"{stretch * size} to {(stretch + 1) * size}"
        print(f"{label:>12} {1e3 * seconds / size:14.1f} {1e3 * asked / size:14.1f} {memory:6.0f}")
    ledger.close()


def write_runs(study: Plan, ledger: Ledger, uri: str, folder: Path, runs: int) -> None:
    """Write trials to MLflow, and read the first pages of them as its interface does."""
    tracker = Tracker(uri, experiment="scale", search=NAME, files=folder, fence=lambda: None)
    parent = tracker.open(tags={}, params={}, data=study.outline.data)
    with told(f"write {runs} runs to MLflow"):
        for trial in ledger.trials()[:runs]:
            history = trial_run_record(study.outline, trial, (), plan_tags(study.outline))
            tracker.log(history)
        assert tracker.close(24 * 3600)
    client = connect(uri)
    experiment = client.get_run(parent).info.experiment_id
    children = f"tags.mlflow.parentRunId = '{parent}'"
    with told("page of 100 child runs, by value"):
        client.search_runs(
            [experiment], children, order_by=["metrics.value DESC"], max_results=100
        )
    with told("sync that finds everything there"):
        again = Tracker(uri, experiment="scale", search=NAME, files=folder, fence=lambda: None)
        again.open(tags={}, params={}, data=study.outline.data)
        for trial in ledger.trials()[:runs]:
            again.log(trial_run_record(study.outline, trial, (), plan_tags(study.outline)))
        assert again.close(24 * 3600)


def main() -> None:
    """Print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    study = plan("plain", trials=options.trials, sampler=options.sampler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'tuner.db'}"
        run_trials(study, url, folder)
        with told("open the ledger, as `tuner status` does"):
            ledger = Ledger.load(url, NAME)
        with told("its status"):
            status_of(ledger)
        print(f"the ledger's file: {(folder / 'tuner.db').stat().st_size / 2**20:.1f} MiB")
        if options.runs:
            write_runs(study, ledger, f"sqlite:///{folder / 'mlflow.db'}", folder, options.runs)


if __name__ == "__main__":
    sys.exit(main())
