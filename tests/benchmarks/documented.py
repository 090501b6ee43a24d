"""The stack as its documentation shows it: Ray Tune, OptunaSearch and MLflow's Ray callback.

    python -m tests.benchmarks.documented --work idle|gmvae --trials 40 --folder FOLDER

One process, one search, its figures as JSON on stdout. `gmvae` trains this package's GMVAE on
digits over the space of `search_spaces/gmvae.yaml`, three replicas, the same evaluations and
ASHA's rungs at the same passes: what differs is everything around the training.
"""

import argparse
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

REPORTS = 5
EPOCHS = 50
WARM = 10


class Clock(tune.Callback):
    """Notes when trials end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def idle(config: dict[str, float]) -> None:
    """Report five times; torch is imported, as any training would."""
    import torch  # noqa: F401

    for step in range(REPORTS):
        tune.report({"value": config["offset"] + step})


def gmvae(config: dict[str, Any]) -> None:
    """Train a trial's replicas as a worker of this package would, and report as often."""
    import torch

    from tuner.data import load
    from tuner.evaluation.objective import neighbour_graph
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
        objective="score",
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
    """Return the search space in Tune's words."""
    if work == "idle":
        return {name: tune.uniform(0.0, 1.0) for name in ("offset", "width", "third")}
    from tuner.methods.catalog import space as own

    found: dict[str, Any] = {
        name: _dimension(p)
        for name, p in own("gmvae").parameters.items()
        if name != "variance_floor"  # of the Gaussian likelihood alone
    }
    return found | {
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
    began = time.perf_counter()
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
    steady = (clock.ends[-1] - clock.ends[WARM - 1]) / (len(clock.ends) - WARM)
    return {
        "trials": len(clock.ends),
        "errors": results.num_errors,
        "seconds_per_trial": steady,
        "seconds_to_first_trial": clock.ends[0] - began,
        "seconds": time.perf_counter() - began,
        "best": (best.metrics or {}).get("value"),
    }


def main() -> None:
    """Read the flags and measure."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--work", choices=("idle", "gmvae"), required=True)
    flags.add_argument("--trials", type=int, default=40)
    flags.add_argument("--folder", type=Path, required=True)
    given = flags.parse_args()
    print(json.dumps(measure(given.work, given.trials, given.folder.resolve())))


if __name__ == "__main__":
    main()
