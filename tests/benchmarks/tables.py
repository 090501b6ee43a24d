"""Every method, trained at a preset, with the figures from the papers.

    python -m tests.benchmarks.tables --method vade,dec --dataset mnist [--preset paper]
        [--replicas 10] [--epochs N] [--subset N] [--device cpu] [--set n_components=16]
        [--note "K = 16"] [--restarts F] [--deadline SECONDS] [--threads N]
    python -m tests.benchmarks.tables --show
    python -m tests.benchmarks.tables --readme

Each training writes one JSON file to `results/` with its settings, its time, and the figures of
every replica on both splits. A training with an existing result is skipped, and an interrupted one
resumes from its last checkpoint; its time is the sum of all runs. `--epochs` limits the passes
over the data. The table includes preset, passes and points, because figures depend on them. With
`--restarts` every replica is the best of F candidates by the separation, whereas the scores of
trainings without restarts are modularities.

`--preset` is that of `tuner search`: by default, the preset for the data. `--readme` prints the
short table of the README, with one result of every method: of at least three replicas, on the most
points, and the most accurate one of those.

`--deadline` stops in time, in seconds after the start of the process, and saves a checkpoint. Call
again with the same options to go on.

Mean ± standard deviation is over replicas. The highest accuracy of a replica is in brackets, and
the column "chosen" has the accuracy of the replica with the highest score, chosen without labels.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks._common import argument_parser, mean_and_sd
from tests.benchmarks._deadline import Deadline, Stopped, Stopwatch
from tests.benchmarks._readme_table import chosen_text, preset_text, readme_table
from tuner.cli.values import fixed
from tuner.data import Dataset, load
from tuner.data.summary import DataSummary
from tuner.evaluation.metrics import audit
from tuner.evaluation.structureless import scored_graph
from tuner.methods import catalog
from tuner.methods.config import Config
from tuner.study.presets import Preset, chosen
from tuner.study.space import method_space
from tuner.study.study import Study
from tuner.training.evaluations import Evaluation
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
"""Accuracy on the test split in %, mean ± sd (best), in the papers, by method, data and note.

Hungarian unless another protocol is named. Deep Generative Clustering with VAEs and
Expectation-Maximization (2025), Table 2; Deep Unsupervised Clustering with Gaussian Mixture
Variational Autoencoders (2016), Table 1; Unsupervised Deep Embedding for Clustering Analysis
(2016), Table 2; DGM final project (2025), section 3.3.
"""


def preset_for(method: str, data: Dataset, name: str | None = None) -> Preset:
    """Return the preset with which a search of one method on the data begins."""
    study = Study(methods=(method,), preset=name)
    return chosen(study, DataSummary.of(data), {method: method_space(method)})[method]


def settings(method: str, data: Dataset, preset: Preset, overrides: Mapping[str, Any]) -> Config:
    """Return the method's configuration at a preset, with overrides."""
    config = catalog.method(method).config_type
    forced = config.forced_by(unit_interval=data.unit_interval)
    return config.from_mapping({**preset.settings, **forced, **overrides})


def first_points(data: Dataset, points: int | None) -> Dataset:
    """Return the dataset with only the first training points."""
    if points is None or points >= len(data.train):
        return data
    labels = data.train_labels
    return replace(
        data,
        train=data.train[:points],
        train_labels=None if labels is None else labels[:points],
        fingerprint=f"{data.fingerprint}/{points}",
    )


def train(
    options: Mapping[str, Any], config: Config, data: Dataset, folder: Path, deadline: Deadline
) -> dict[str, Any]:
    """Train the replicas, resuming from checkpoints in `folder`, and return the results."""
    restarts = options.get("restarts", 1)
    objective = "modularity" if restarts == 1 else "separation"
    spec = TrialSpec(
        number=0,
        method=options["method"],
        settings=config.to_mapping(),
        seeds=tuple(range(options["replicas"] * restarts)),
        objective=objective,
        folder=str(folder),
        device=options["device"],
        restarts=restarts,
    )
    graph = scored_graph(data.train, fingerprint=data.fingerprint, objective=objective)
    trial, watch = Trial(spec, trial_data(data, graph)), Stopwatch(folder)
    last = _advance(trial, watch, deadline)
    seconds = watch.seconds
    if deadline.seconds is not None:  # what follows takes time too
        trial.save()
        watch.keep()
    if last.failure is not None:
        print(f"{options['method']} failed: {last.failure}")
    return {
        "seconds": round(seconds, 1),
        "failure": last.failure,
        "scores": [round(value, 4) for value in last.replicas],
        "train": _figures(trial, data.train, data.train_labels),
        "test": _figures(trial, data.test, data.test_labels),
    }


def _advance(trial: Trial, watch: Stopwatch, deadline: Deadline) -> Evaluation:
    """Train to the end and return the last evaluation, or raise `Stopped` at the deadline."""
    where = "before the first evaluation of this run"
    while not trial.finished:
        if not deadline.allows(watch.longest):
            trial.save()
            watch.keep()
            raise Stopped(f"{where}, after {watch.seconds:.0f} s of training")
        last = trial.advance()
        watch.interval()
        scores = "" if last.value is None else f" score {last.value:.3f}"
        accuracy = last.metrics.get("audit/hungarian")
        scores += "" if accuracy is None else f" hungarian {accuracy:.3f}"
        where = f"at pass {last.epoch}/{last.passes}"
        progress = f"pass {last.epoch}/{last.passes} {last.stage}{scores}"
        print(f"{watch.seconds:6.0f} s  {progress}", flush=True)
    return last


def _figures(trial: Trial, x: Any, labels: Any) -> dict[str, list[float]]:
    """Return every measure of agreement with the labels, one value per replica, in %."""
    points = torch.tensor(x, device=trial.spec.device)
    parts = [trial.method.predict_log_proba(part).float().cpu() for part in points.split(10_000)]
    audits = [audit(replica, labels) for replica in torch.cat(parts, dim=1).numpy()]
    return {name: [round(100 * one[name], 2) for one in audits] for name in audits[0]}


def run(
    options: Mapping[str, Any],
    overrides: Mapping[str, Any],
    work: Path,
    deadline: Deadline,
    preset: str | None = None,
) -> None:
    """Train one method on one dataset unless its result exists."""
    if not deadline.allows(0.0):
        raise Stopped("before it began")
    data = first_points(load(options["dataset"]), options["subset"])
    begun = preset_for(options["method"], data, preset)
    plain = settings(options["method"], data, begun, {}).to_mapping()
    config = settings(options["method"], data, begun, overrides)
    changed = [name for name, value in config.to_mapping().items() if value != plain[name]]
    if options["epochs"] is not None:
        config = config.capped(options["epochs"])
    document = {**options, "settings": config.to_mapping()}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]
    path = RESULTS / f"{options['dataset']}-{options['method']}-{digest}.json"
    if path.exists():
        print(f"{path.name} already exists")
        return
    print(f"{options['method']} on {options['dataset']}: {config}", flush=True)
    results = train(options, config, data, work / path.stem, deadline)
    document |= {
        "preset": list(begun.names),
        "changed": changed,
        "passes": config.passes,
        "points": len(data.train),
        "machine": _machine(options["device"]),
        "threads": torch.get_num_threads(),
        **results,
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(_line(document))


def _machine(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()


def table(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table, with variants (results with a note) last."""
    header = [
        "| data | method | preset | points, passes | replicas | train | test | chosen | majority "
        "| gmvae | NMI | AMI | ARI | minutes | papers, test |",
        "|" + 15 * " --- |",
    ]
    order = sorted(documents, key=_sort_key)
    return "\n".join([*header, *map(_line, order)])


def _sort_key(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key to sort by data, methods by accuracy, then variants by name and numbers."""
    data, method, note = (document[key] for key in ("dataset", "method", "note"))
    words, numbers = re.sub(r"\d+", "", note), [int(n) for n in re.findall(r"\d+", note)]
    variant = (method, words, numbers) if note else ()
    accuracy = float(np.mean(document["test"]["hungarian"]))
    return data != "mnist", data, bool(note), *variant, -accuracy


def _line(document: Mapping[str, Any]) -> str:
    train, test = document["train"], document["test"]
    accuracy, restarts = test["hungarian"], document.get("restarts", 1)
    name = f"`{document['method']}`" + (f" {document['note']}" if document["note"] else "")
    other = ("majority", "gmvae", "nmi", "ami", "ari")
    cells = [
        document["dataset"],
        name,
        preset_text(document),
        f"{document['points']:,}, {document['passes']}",
        f"{document['replicas']}" + (f", best of {restarts}" if restarts > 1 else ""),
        mean_and_sd(train["hungarian"], percent=True),
        f"{mean_and_sd(accuracy, percent=True)} ({max(accuracy):.1f})",
        chosen_text(document),
        *(mean_and_sd(test[key], percent=True) for key in other),
        f"{document['seconds'] / 60:.1f} {document['device']}",
        PAPERS.get((document["method"], document["dataset"], document["note"]), ""),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train the named methods, then print a table of all results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--method", default="", help="comma-separated names, or all")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", help="default: that for the data")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=1, help="candidates per replica")
    parser.add_argument("--epochs", type=int, help="maximum number of passes over the data")
    parser.add_argument("--subset", type=int, help="number of training points to use")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--note", default="", help="label of a variant, printed after the method")
    parser.add_argument("--work", type=Path, default=Path("tuner-artifacts/tables"))
    parser.add_argument("--deadline", type=float, help="seconds after the start to stop in")
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--show", action="store_true", help="only print the table")
    parser.add_argument("--readme", action="store_true", help="only print the short table")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    overrides, deadline = fixed(args.set), Deadline(args.deadline)
    methods = catalog.names() if args.method == "all" else args.method.split(",")
    for method in () if args.show or args.readme else methods:
        options = {
            key: getattr(args, key)
            for key in ("dataset", "replicas", "epochs", "subset", "device", "note")
        }
        if args.restarts > 1:  # results without restarts keep their names
            options["restarts"] = args.restarts
        try:
            run({**options, "method": method}, overrides, args.work, deadline, args.preset)
        except Stopped as stop:
            print(f"{method} on {args.dataset} stopped {stop}: call again to go on")
            return
    documents = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    print(readme_table(documents, PAPERS) if args.readme else table(documents))


if __name__ == "__main__":
    main()
