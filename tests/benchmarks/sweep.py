"""What one setting does: accuracy, and whether clusters are as sure as they should be.

    python -m tests.benchmarks.sweep --method em_vae --setting temperature
        --values 0.25,0.5,1,2,4,8,16 [--dataset digits] [--subset N] [--seeds 8]
        [--set start=random] [--out FILE]

Every value is trained at the data set's preset, all seeds side by side. Figures are of the test
split, mean ± standard deviation over seeds: hungarian accuracy (behind it that of the seed with
the highest score), the mean entropy of an assignment as a share of log K, the mean confidence, and
the expected calibration error. The last two columns divide all log-probabilities by one more
temperature after training and say which would be calibrated best: above 1 where clusters are too
sure. Labels take part in the figures alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, log_softmax

from tests.benchmarks.tables import first, settings
from tuner.cli.values import fixed
from tuner.data import Dataset, load
from tuner.evaluation.metrics import audit, calibration_error
from tuner.evaluation.objective import NeighbourGraph, evaluate, neighbour_graph
from tuner.methods import catalog
from tuner.methods.config import Config

AFTERWARDS = np.geomspace(1 / 64, 64, 25)

Floats = NDArray[np.float64]


def trained(
    method: str, config: Config, data: Dataset, graph: NeighbourGraph, seeds: int
) -> tuple[Floats, Floats]:
    """Return log-probabilities of the test split (R, N, K), and every seed's score (R,)."""
    points = torch.from_numpy(data.train)
    run = catalog.method(method)(config, points.shape[1:], list(range(seeds)))
    for _ in run.fit(points):
        pass
    scores = evaluate(graph, run.predict_log_proba(points[graph.index]).numpy()).score
    return run.predict_log_proba(torch.from_numpy(data.test)).double().numpy(), scores


def figures(log_proba: Floats, scores: Floats, labels: Any) -> dict[str, Any]:
    """Return what the columns say, one number per seed where there are several."""
    p, K = np.exp(log_proba), log_proba.shape[2]
    found = [audit(each, labels) for each in log_proba]
    accuracy = [one["hungarian"] for one in found]
    errors = np.array(
        [
            [calibration_error(log_softmax(each / T, axis=1), labels) for T in AFTERWARDS]
            for each in log_proba
        ]
    )
    return {
        "hungarian": accuracy,
        "chosen": accuracy[int(scores.argmax())],
        "entropy": (entr(p).sum(axis=2).mean(axis=1) / np.log(K)).tolist(),
        "confidence": p.max(axis=2).mean(axis=1).tolist(),
        "calibration_error": [one["calibration_error"] for one in found],
        "best_error": errors.min(axis=1).tolist(),
        "best_temperature": AFTERWARDS[errors.argmin(axis=1)].tolist(),
    }


def row(value: object, one: dict[str, Any]) -> str:
    """Return one value's line of the table."""
    cells = [
        str(value),
        f"{_spread(one['hungarian'])} ({one['chosen']:.3f})",
        *(_spread(one[name]) for name in ("entropy", "confidence", "calibration_error")),
        f"{np.mean(one['best_error']):.3f} at {np.median(one['best_temperature']):.2g}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: list[float]) -> str:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {sd:.3f}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--method", default="em_vae")
    parser.add_argument("--setting", default="temperature")
    parser.add_argument("--values", default="0.25,0.5,1,2,4,8,16")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--subset", type=int)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data = first(load(asked.dataset), asked.subset)
    if data.test_labels is None:
        raise SystemExit(f"{asked.dataset} has no labels to measure by: name data that have")
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    facts = {}
    print(f"| {asked.setting} | hungarian (chosen) | entropy | confidence | error | afterwards |")
    print("| --- | --- | --- | --- | --- | --- |")
    for value in asked.values.split(","):
        given = fixed([*asked.given, f"{asked.setting}={value}"])
        config = settings(asked.method, asked.dataset, data, given)
        log_proba, scores = trained(asked.method, config, data, graph, asked.seeds)
        facts[value] = figures(log_proba, scores, data.test_labels)
        print(row(value, facts[value]), flush=True)
    if asked.out is not None:
        asked.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
