"""A search with Ray Tune, OptunaSearch and MLflow's Ray callback, as in their documentation.

    python -m tests.benchmarks.documented --work idle|gmvae --trials 40 --folder FOLDER

Runs one search in one process and prints its figures as JSON. `gmvae` trains this package's GMVAE
on digits with three replicas, over the space in `search_spaces/gmvae.yaml`, with the same
evaluations and ASHA rungs at the same passes. Only the code around the training differs.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks._common import argument_parser

REPORTS = 5
EPOCHS = 50
WARM_UP_TRIALS = 10


class Clock(tune.Callback):
    """Records when trials end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Record the time."""
        self.ends.append(time.perf_counter())


def idle(config: dict[str, float]) -> None:
    """Report five times. Torch is imported because any real training imports it."""
    import torch  # noqa: F401

    for step in range(REPORTS):
        tune.report({"value": config["offset"] + step})


def gmvae(config: dict[str, Any]) -> None:
    """Train and report the replicas of a trial as a worker of this package does."""
    import torch

    from tuner.data import load
    from tuner.evaluation.graph import neighbour_graph
    from tuner.study.seeds import trial_seeds
    from tuner.training.trial import Trial
    from tuner.training.trial_inputs import TrialSpec, trial_data

    torch.set_num_threads(1)
    settings = dict(config)
    number = settings.pop("number")
    folder = settings.pop("folder")
    data = load("digits")
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    spec = TrialSpec(
        number=number,
        method="gmvae",
        settings={"architecture": "perceptron", "likelihood": "bernoulli", **settings},
        seeds=trial_seeds(0, number, 3),
        objective="modularity",
        folder=f"{folder}/{number}",
    )
    trial = Trial(spec, trial_data(data, graph))
    while not trial.finished:
        evaluation = trial.advance()
        tune.report(
            {
                **evaluation.metrics,
                "value": evaluation.value or 0.0,
                "epoch": evaluation.epoch,
            }
        )


def space(work: str, folder: Path) -> dict[str, Any]:
    """Return the search space in the format of Ray Tune."""
    if work == "idle":
        return {name: tune.uniform(0.0, 1.0) for name in ("offset", "width", "third")}
    from tuner.study.space import method_space

    searched: dict[str, Any] = {
        name: _dimension(p)
        for name, p in method_space("gmvae").parameters.items()
        if name != "variance_floor"  # used only with the Gaussian likelihood
    }
    return searched | {
        "epochs": EPOCHS,
        "folder": str(folder / "trials"),
        "number": tune.randint(0, 1 << 30),
    }


def _dimension(parameter: Any) -> Any:
    if parameter.kind == "choice":
        return tune.choice(list(parameter.choices))
    low, high = parameter.low, parameter.high
    if parameter.kind == "int":
        draw = tune.lograndint if parameter.log else tune.randint
        return draw(int(low), int(high) + 1)
    return (tune.loguniform if parameter.log else tune.uniform)(low, high)


def measure(work: str, trials: int, folder: Path) -> Mapping[str, Any]:
    """Run one search and return its figures."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    start = time.perf_counter()
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    clock = Clock()
    scheduler = (
        ASHAScheduler(
            time_attr="epoch", max_t=EPOCHS, grace_period=-(-EPOCHS // 9), reduction_factor=3
        )
        if work == "gmvae"
        else None
    )
    results = tune.Tuner(
        {"idle": idle, "gmvae": gmvae}[work],
        param_space=space(work, folder),
        tune_config=tune.TuneConfig(
            metric="value",
            mode="max",
            search_alg=OptunaSearch(),
            scheduler=scheduler,
            num_samples=trials,
            max_concurrent_trials=2,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"),
            verbose=0,
            callbacks=[
                clock,
                MLflowLoggerCallback(
                    tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment_name="documented"
                ),
            ],
        ),
    ).fit()
    best = results.get_best_result()
    ray.shutdown()
    steady = clock.ends[WARM_UP_TRIALS - 1 :]
    return {
        "trials": len(clock.ends),
        "errors": results.num_errors,
        "seconds_per_trial": (steady[-1] - steady[0]) / (len(steady) - 1),
        "seconds_to_first_trial": clock.ends[0] - start,
        "seconds": time.perf_counter() - start,
        "best": (best.metrics or {}).get("value"),
    }


def main() -> None:
    """Measure from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", choices=("idle", "gmvae"), required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    print(json.dumps(measure(args.work, args.trials, args.folder.resolve())))


if __name__ == "__main__":
    main()
