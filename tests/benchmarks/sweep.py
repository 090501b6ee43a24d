"""The effect of one setting on accuracy and calibration.

    python -m tests.benchmarks.sweep --method em_vae --setting temperature
        --values 0.25,0.5,1,2,4,8,16 [--dataset digits] [--subset N] [--seeds 8]
        [--set start=random] [--out FILE]

Trains every value at the dataset's preset, all seeds at once. Prints mean ± standard deviation
over seeds on the test split: hungarian accuracy (in brackets that of the seed with the highest
score), mean entropy of an assignment divided by log K, mean confidence, and expected calibration
error. The last column divides all log-probabilities by a further temperature after training, and
gives the lowest calibration error and its temperature, which is above 1 for overconfident
clusters. Labels are used only for these figures.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, log_softmax

from tests.benchmarks._common import argument_parser, mean_and_sd
from tests.benchmarks.tables import first_points, preset_for, settings
from tuner.cli.values import fixed
from tuner.data import Dataset, load
from tuner.evaluation.graph import NeighbourGraph, neighbour_graph
from tuner.evaluation.metrics import audit, calibration_error
from tuner.evaluation.objective import evaluate
from tuner.methods import catalog
from tuner.methods.config import Config

TEMPERATURES = np.geomspace(1 / 64, 64, 25)

Floats = NDArray[np.float64]


def trained(
    method: str, config: Config, data: Dataset, graph: NeighbourGraph, seeds: int
) -> tuple[Floats, Floats]:
    """Return log-probabilities of the test split (R, N, K) and the scores of the seeds (R,)."""
    points = torch.from_numpy(data.train)
    run = catalog.method(method)(config, points.shape[1:], list(range(seeds)))
    for _ in run.fit(points):
        pass
    scores = evaluate(graph, run.predict_log_proba(points[graph.index]).numpy()).score
    return run.predict_log_proba(torch.from_numpy(data.test)).double().numpy(), scores


def figures(log_proba: Floats, scores: Floats, labels: Any) -> dict[str, Any]:
    """Return the figures of all columns, most of them as one value per seed."""
    p, K = np.exp(log_proba), log_proba.shape[2]
    audits = [audit(each, labels) for each in log_proba]
    accuracy = [one["hungarian"] for one in audits]
    errors = np.array(
        [
            [calibration_error(log_softmax(each / T, axis=1), labels) for T in TEMPERATURES]
            for each in log_proba
        ]
    )
    return {
        "hungarian": accuracy,
        "chosen": accuracy[int(scores.argmax())],
        "entropy": (entr(p).sum(axis=2).mean(axis=1) / np.log(K)).tolist(),
        "confidence": p.max(axis=2).mean(axis=1).tolist(),
        "calibration_error": [one["calibration_error"] for one in audits],
        "best_error": errors.min(axis=1).tolist(),
        "best_temperature": TEMPERATURES[errors.argmin(axis=1)].tolist(),
    }


def row(value: object, results: dict[str, Any]) -> str:
    """Return one line of the table."""
    cells = [
        str(value),
        f"{mean_and_sd(results['hungarian'])} ({results['chosen']:.3f})",
        *(mean_and_sd(results[name]) for name in ("entropy", "confidence", "calibration_error")),
        f"{np.mean(results['best_error']):.3f} at {np.median(results['best_temperature']):.2g}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--method", default="em_vae")
    parser.add_argument("--setting", default="temperature")
    parser.add_argument("--values", default="0.25,0.5,1,2,4,8,16")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--subset", type=int)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = first_points(load(args.dataset), args.subset)
    if data.test_labels is None:
        raise SystemExit(f"{args.dataset} has no test labels: choose a dataset with labels")
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    facts = {}
    print(f"| {args.setting} | hungarian (chosen) | entropy | confidence | error | afterwards |")
    print("| --- | --- | --- | --- | --- | --- |")
    for value in args.values.split(","):
        overrides = fixed([*args.set, f"{args.setting}={value}"])
        config = settings(args.method, data, preset_for(args.method, data), overrides)
        log_proba, scores = trained(args.method, config, data, graph, args.seeds)
        facts[value] = figures(log_proba, scores, data.test_labels)
        print(row(value, facts[value]), flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
