"""Train random configurations of many methods and store their partitions for `choice.py`.

    python -m tests.benchmarks.partitions --store FOLDER [--dataset digits,mnist,fashion_mnist]
        [--configurations 100] [--mode fixed,searched] [--seed 0] [--points 2000] [--epochs 15]

Configurations are drawn at random from the search spaces, method after method, each with three
seeds. In mode `fixed` K is 10; in mode `searched` it is drawn too, log-uniformly. Each writes one
file with the clusters of the training points, so that a new score is tried on old partitions in
seconds. Then the `--finalists` configurations with the best mean separation are trained again on
five fresh seeds, and their clusters of test points are stored as well. Labels are neither read nor
stored. Existing files are kept, so an interrupted run continues. Networks are small, and after
`--seconds` a training is taken as it stands, because this is about choices.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from tests.benchmarks._common import argument_parser
from tuner.data import Dataset, load
from tuner.evaluation.separation import separation
from tuner.evaluation.structureless import scored_graph
from tuner.ledger.ledger import _suggest
from tuner.methods import catalog
from tuner.methods.config import Config
from tuner.study.branches import Branch
from tuner.study.plan import prepare
from tuner.study.study import Study

METHODS = (
    "gmvae",
    "em_vae",
    "mutual_vae_gmm",
    "vae_gmm",
    "vaeic",
    "ae_gmm",
    "gmm",
    "kmeans",
    "gmm_prior_vae",
    "soft_kmeans_vae",
    "vade",
    "dec",
)
SEEDS = (11, 12, 13)
FRESH_SEEDS = (21, 22, 23, 24, 25)
K_RANGE = {"n_components": {"int": [2, 40], "log": True}}
SMALL = {
    "gmvae.architecture": "perceptron",
    "gmvae.mc_samples": 1,
    "ae_gmm.hidden_sizes": "128-128-512",
    "dec.hidden_sizes": "128-128-512",
    "vade.hidden_sizes": "128-128-512",
}


def subset(dataset: str, points: int) -> Dataset:
    """Return a dataset with its first training points only."""
    data = load(dataset)
    labels = None if data.train_labels is None else data.train_labels[:points]
    return replace(data, train=data.train[:points], train_labels=labels)


def branches(dataset: str, mode: str, epochs: int) -> Mapping[str, Branch]:
    """Return the spaces that configurations are drawn from."""
    fixed = SMALL | ({"n_components": 10} if mode == "fixed" else {})
    spaces = {} if mode == "fixed" else {name: {"space": K_RANGE} for name in METHODS}
    study = Study(methods=METHODS, dataset=dataset, epochs=epochs, fixed=fixed, spaces=spaces)
    return prepare(study).branches


def train(name: str, config: Config, seeds: Sequence[int], x: torch.Tensor, seconds: float) -> Any:
    """Train a configuration on every seed and return the method."""
    method = catalog.method(name)(config, tuple(x.shape[1:]), seeds)
    end = time.monotonic() + seconds
    for report in method.fit(x):
        if report.clusters and time.monotonic() > end:
            break
    return method


def clusters(method: Any, x: torch.Tensor) -> NDArray[np.int16]:
    """Return the clusters of points, (R, n)."""
    labels = method.predict_log_proba(x).nan_to_num(-1e30).argmax(dim=2)
    return labels.numpy().astype(np.int16)  # type: ignore[no-any-return]


def run(args: argparse.Namespace, dataset: str, mode: str, number: int, data: Dataset) -> None:
    """Train one configuration unless its file exists."""
    path = args.store / f"{dataset}-{mode}-{args.seed}-{number:03}.npz"
    if path.exists():
        return
    branch = args.branches[dataset, mode][METHODS[number % len(METHODS)]]
    sampler = optuna.samplers.RandomSampler(seed=1000 * args.seed + number)
    config = branch.config(_suggest(optuna.create_study(sampler=sampler).ask(), branch))
    store(path, branch.method, config, SEEDS, data, args.seconds)


def store(
    path: Path, name: str, config: Config, seeds: Sequence[int], data: Dataset, seconds: float
) -> None:
    """Train a configuration and write its clusters, of test points too for fresh seeds."""
    started, x = time.monotonic(), torch.tensor(data.train)
    try:
        method = train(name, config, seeds, x, seconds)
        arrays = {"labels": clusters(method, x)}
        if seeds == FRESH_SEEDS:
            arrays["test"] = clusters(method, torch.tensor(data.test))
    except Exception as error:  # a configuration that fails has no partition to choose
        print(f"{path.name} {name}: {type(error).__name__}: {error}", flush=True)
        return
    seconds = time.monotonic() - started
    document = json.dumps({"method": name, "settings": config.to_mapping(), "seconds": seconds})
    np.savez_compressed(path, settings=document, **arrays)
    print(f"{path.name} {name}: {seconds:.1f} s", flush=True)


def stored(folder: Path, dataset: str, mode: str) -> list[dict[str, Any]]:
    """Return method, settings and partitions (3, n) of every stored configuration.

    Those of finalists are also there, by the name `mode`-finalist.
    """
    found = []
    for path in sorted(folder.glob(f"{dataset}-{mode}-[0-9]*.npz")):
        with np.load(path) as file:
            arrays = {
                name: file[name].astype(np.int64) for name in file.files if name != "settings"
            }
            found.append({**json.loads(str(file["settings"])), **arrays, "path": path})
    return found


def run_finalists(args: argparse.Namespace, dataset: str, mode: str, data: Dataset) -> None:
    """Train the configurations with the best mean separation on fresh seeds."""
    graph = scored_graph(data.train, fingerprint=data.fingerprint)
    found = stored(args.store, dataset, mode)
    best = sorted(found, key=lambda row: -float(separation(graph, row["labels"]).mean()))
    for row in best[: args.finalists]:
        path = args.store / row["path"].name.replace(f"{mode}-", f"{mode}-finalist-", 1)
        if not path.exists():
            config = catalog.method(row["method"]).config_type.from_mapping(row["settings"])
            store(path, row["method"], config, FRESH_SEEDS, data, 2 * args.seconds)


def main() -> None:
    """Train what is missing, one configuration of every dataset and mode in turn."""
    parser = argument_parser(__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--dataset", default="digits,mnist,fashion_mnist")
    parser.add_argument("--mode", default="fixed,searched")
    parser.add_argument("--configurations", type=int, default=100)
    parser.add_argument("--finalists", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    args.store.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    datasets, modes = args.dataset.split(","), args.mode.split(",")
    data = {name: subset(name, args.points) for name in datasets}
    args.branches = {(d, m): branches(d, m, args.epochs) for d in datasets for m in modes}
    for number in range(args.configurations):
        for dataset in datasets:
            for mode in modes:
                run(args, dataset, mode, number, data[dataset])
    for dataset in datasets:
        for mode in modes:
            run_finalists(args, dataset, mode, data[dataset])


if __name__ == "__main__":
    main()
