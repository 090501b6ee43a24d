"""Every method at its paper's settings, trained here, beside the figures that the papers give.

    python -m tests.benchmarks.tables --method vade,dec --dataset mnist [--replicas 10]
        [--epochs N] [--subset N] [--device cpu] [--set n_components=16] [--note "K = 16"]
    python -m tests.benchmarks.tables --show

Each training leaves one JSON file in `results/`: what it was told, what it took, and for every
replica the figures on both splits. One that is there already is not trained again, one that was
cut off goes on from its last checkpoint (its time is then that of the last attempt). `--epochs`
caps the passes, as everywhere. The table says the passes and the points, because a figure from
fewer of either is another figure.

Mean ± standard deviation is over replicas; in brackets stands the replica with the highest
accuracy, which only labels can tell, and behind it the one that the score (no labels) picks.
"""

import argparse
import hashlib
import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.cli.values import fixed
from tuner.data import Dataset, load
from tuner.evaluation.metrics import audit
from tuner.evaluation.objective import neighbour_graph
from tuner.methods import catalog
from tuner.methods.contract import Config
from tuner.study.space import method_space
from tuner.training.trial import Trial
from tuner.training.trial_inputs import TrialSpec, trial_data

RESULTS = Path(__file__).parent / "results"

PAPERS: Mapping[tuple[str, str, str], str] = {
    ("gmvae", "mnist", ""): "85.4±4.1 (93.5)",
    ("vaeic", "mnist", ""): "87.1±4.8 (93.7)",
    ("ae_gmm", "mnist", ""): "78.6±2.5 (82.5)",
    ("vade", "mnist", ""): "88.3±3.0 (94.2)",
    ("em_vae", "mnist", ""): "88.5±5.1 (94.6)",
    ("mutual_vae_gmm", "mnist", ""): "over 80",
    ("dec", "mnist", ""): "(84.3, all points)",
    ("kmeans", "mnist", ""): "53",
    ("gmvae", "fashion_mnist", ""): "58.1±5.6 (69.2)",
    ("vaeic", "fashion_mnist", ""): "57.3±3.9 (63.5)",
    ("ae_gmm", "fashion_mnist", ""): "56.4±2.2 (59.8)",
    ("vade", "fashion_mnist", ""): "57.0±1.7 (59.8)",
    ("em_vae", "fashion_mnist", ""): "58.9±3.2 (63.6)",
    ("kmeans", "fashion_mnist", ""): "47",
    ("gmvae", "mnist", "K = 10, M = 1"): "gmvae 77.8±5.8 (87.3)",
    ("gmvae", "mnist", "K = 10, M = 10"): "gmvae 82.3±3.8 (88.5)",
    ("gmvae", "mnist", "K = 16, M = 1"): "gmvae 85.1±2.0 (89.0)",
    ("gmvae", "mnist", "K = 16, M = 10"): "gmvae 87.8±5.3 (96.9)",
    ("gmvae", "mnist", "K = 30, M = 1"): "gmvae 92.8±1.6 (95.8)",
    ("gmvae", "mnist", "K = 30, M = 10"): "gmvae 89.3±2.5 (93.2)",
}
"""Accuracy on the test split in %, mean ± sd (best), in the papers; by method, data and note.

Hungarian where no other protocol is named. Deep Generative Clustering with VAEs and
Expectation-Maximization (2025), Table 2; Deep Unsupervised Clustering with Gaussian Mixture
Variational Autoencoders (2016), Table 1; Unsupervised Deep Embedding for Clustering Analysis
(2016), Table 2; DGM final project (2025), section 3.3.
"""


def settings(method: str, dataset: str, data: Dataset, given: Mapping[str, Any]) -> Config:
    """Return the method's preset for the data set, with what is given on top."""
    config = catalog.method(method).config_type
    implied = config.implied_by(unit_interval=data.unit_interval)
    preset = method_space(method).presets.get(dataset, {})
    return config.from_mapping({**implied, **preset, **given})


def first(data: Dataset, points: int | None) -> Dataset:
    """Return a data set with only the first so many points to train on."""
    if points is None or points >= len(data.train):
        return data
    labels = data.train_labels
    return replace(
        data,
        train=data.train[:points],
        train_labels=None if labels is None else labels[:points],
        fingerprint=f"{data.fingerprint}/{points}",
    )


def train(asked: Mapping[str, Any], config: Config, data: Dataset, folder: Path) -> dict[str, Any]:
    """Train the replicas, or go on where they were left, and return what they reached."""
    spec = TrialSpec(
        number=0,
        method=asked["method"],
        settings=config.to_mapping(),
        seeds=tuple(range(asked["replicas"])),
        objective="score",
        folder=str(folder),
        device=asked["device"],
    )
    graph = neighbour_graph(data.train, fingerprint=data.fingerprint)
    trial, began = Trial(spec, trial_data(data, graph)), time.monotonic()
    while not trial.finished:
        last = trial.advance()
        told = "" if last.value is None else f" score {last.value:.3f}"
        seen = last.metrics.get("audit/hungarian")
        told += "" if seen is None else f" hungarian {seen:.3f}"
        passed = time.monotonic() - began
        print(f"{passed:6.0f} s  pass {last.epoch}/{last.passes} {last.stage}{told}", flush=True)
    if last.failure is not None:
        print(f"{asked['method']} ended: {last.failure}")
    return {
        "seconds": round(time.monotonic() - began, 1),
        "failure": last.failure,
        "scores": [round(value, 4) for value in last.replicas],
        "train": _figures(trial, data.train, data.train_labels),
        "test": _figures(trial, data.test, data.test_labels),
    }


def _figures(trial: Trial, x: Any, labels: Any) -> dict[str, list[float]]:
    """Return every figure of agreement with the labels, one per replica, in %."""
    points = torch.tensor(x, device=trial.spec.device)
    parts = [trial.method.predict_log_proba(part).float().cpu() for part in points.split(10_000)]
    each = [audit(replica, labels) for replica in torch.cat(parts, dim=1).numpy()]
    return {name: [round(100 * one[name], 2) for one in each] for name in each[0]}


def run(asked: Mapping[str, Any], given: Mapping[str, Any], work: Path) -> None:
    """Train one method on one data set unless its result is there."""
    data = first(load(asked["dataset"]), asked["subset"])
    config = settings(asked["method"], asked["dataset"], data, given)
    if asked["epochs"] is not None:
        config = config.capped(asked["epochs"])
    document = {**asked, "settings": config.to_mapping()}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]
    path = RESULTS / f"{asked['dataset']}-{asked['method']}-{digest}.json"
    if path.exists():
        print(f"{path.name} is there")
        return
    print(f"{asked['method']} on {asked['dataset']}: {config}", flush=True)
    reached = train(asked, config, data, work / path.stem)
    document |= {
        "passes": config.passes,
        "points": len(data.train),
        "machine": _machine(asked["device"]),
        "threads": torch.get_num_threads(),
        **reached,
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(_line(document))


def _machine(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()


def table(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table, those of a variant (a note) behind the others."""
    head = [
        "| data | method | points, passes | replicas | train | test | chosen | majority | gmvae "
        "| NMI | AMI | ARI | minutes | papers, test |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    order = sorted(documents, key=_locations)
    return "\n".join([*head, *map(_line, order)])


def _locations(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key that sorts by data, then methods by accuracy, then variants by name."""
    data, method, note = (document[key] for key in ("dataset", "method", "note"))
    words, numbers = re.sub(r"\d+", "", note), [int(n) for n in re.findall(r"\d+", note)]
    by = (method, words, numbers) if note else ()
    return data != "mnist", data, bool(note), *by, -_mean(document["test"]["hungarian"])


def _line(document: Mapping[str, Any]) -> str:
    train, test = document["train"], document["test"]
    accuracy = test["hungarian"]
    scores = document["scores"]
    chosen = f"{accuracy[int(np.argmax(scores))]:.1f}" if scores else ""
    name = f"`{document['method']}`" + (f" {document['note']}" if document["note"] else "")
    rest = [_spread(test[key]) for key in ("majority", "gmvae", "nmi", "ami", "ari")]
    cells = [
        document["dataset"],
        name,
        f"{document['points']:,}, {document['passes']}",
        str(document["replicas"]),
        _spread(train["hungarian"]),
        f"{_spread(accuracy)} ({max(accuracy):.1f})",
        chosen,
        *rest,
        f"{document['seconds'] / 60:.1f} {document['device']}",
        PAPERS.get((document["method"], document["dataset"], document["note"]), ""),
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _spread(values: Sequence[float]) -> str:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{_mean(values):.1f}±{sd:.1f}"


def main() -> None:
    """Train what is asked for, then print the table of everything there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--method", default="", help="names with commas between them, or all")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="most passes over the data")
    parser.add_argument("--subset", type=int, help="only the first so many training points")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given")
    parser.add_argument("--note", default="", help="what the table says behind the method's name")
    parser.add_argument("--work", type=Path, default=Path("tuner-artifacts/tables"))
    parser.add_argument("--show", action="store_true", help="train nothing")
    flags = parser.parse_args()
    given = fixed(flags.given)
    named = catalog.names() if flags.method == "all" else flags.method.split(",")
    for method in () if flags.show else named:
        asked = {
            key: getattr(flags, key)
            for key in ("dataset", "replicas", "epochs", "subset", "device", "note")
        }
        run({**asked, "method": method}, given, flags.work)
    print(table([json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]))


if __name__ == "__main__":
    main()
