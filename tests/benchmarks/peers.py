"""VaDE and DEC of this package and of ClustPy: accuracy and time for the same work.

    pip install --no-deps clustpy
    python -m tests.benchmarks.peers [--method vade,dec] [--points 10000] [--seeds 3] [--out FILE]

Trains on the first points of MNIST with equal layers (500-500-2000-10), batches and epochs, in
alternating turns with one seed each. Everything else is the default of each package. ClustPy is
not installed with this project.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks._common import argument_parser, in_turns, mean_and_sd, ratio, write
from tuner.data import load
from tuner.evaluation.metrics import contingency, hungarian
from tuner.methods import catalog

EPOCHS = 10
BATCH = 256
SCHEDULE = {"vade": "joint_epochs", "dec": "epochs"}

Labels = NDArray[np.int64]


def ours(method: str, x: NDArray[np.float32], seed: int) -> Labels:
    """Return the clusters of this package's method."""
    method_type = catalog.method(method)
    schedule = {SCHEDULE[method]: EPOCHS, "pretraining_epochs": EPOCHS}
    if method == "dec":  # once per pass: ClustPy updates its target with every batch
        schedule["update_interval"] = -(-len(x) // BATCH)
    batches = {"batch_size": BATCH, "pretraining_batch_size": BATCH}
    config = method_type.config_type.from_mapping({"n_components": 10, **schedule, **batches})
    points = torch.from_numpy(x)
    trained = method_type(config, x.shape[1:], [seed])
    for _ in trained.fit(points):
        pass
    labels: Labels = trained.predict_log_proba(points)[0].argmax(1).numpy()
    return labels


def theirs(method: str, x: NDArray[np.float32], seed: int) -> Labels:
    """Return the clusters of the method of the same name in ClustPy."""
    from clustpy import deep  # type: ignore[import-not-found]

    method_type: Any = {"vade": deep.VaDE, "dec": deep.DEC}[method]
    trained = method_type(
        n_clusters=10,
        batch_size=BATCH,
        pretrain_epochs=EPOCHS,
        clustering_epochs=EPOCHS,
        embedding_size=10,
        random_state=seed,
        device="cpu",
    )
    labels: Labels = trained.fit(x).labels_
    return labels


def compare(method: str, x: NDArray[np.float32], truth: Labels, seeds: int) -> dict[str, Any]:
    """Train both packages with every seed in turns, and return times and accuracies."""
    found: dict[str, list[float]] = {"clustpy": [], "ours": []}

    def run(name: str, train: Callable[[str, NDArray[np.float32], int], Labels]) -> None:
        labels = train(method, x, len(found[name]))
        found[name].append(hungarian(contingency(labels, truth)))

    peer, own = in_turns(
        {"clustpy": lambda: run("clustpy", theirs), "ours": lambda: run("ours", ours)}, seeds
    )
    accuracy = {name: mean_and_sd(each) for name, each in found.items()}
    print(f"{method}:")
    write(None, [peer, own], faster=ratio(peer, own), accuracy=accuracy)
    return {"timed": [peer.seconds, own.seconds], "accuracy": accuracy, "each": found}


def main() -> None:
    """Run from the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--method", default="vade,dec")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = data.train[: args.points].reshape(args.points, -1)
    truth = data.train_labels[: args.points]
    facts = {m: compare(m, x, truth, args.seeds) for m in args.method.split(",")}
    if args.out is not None:
        write(args.out, [], **facts)


if __name__ == "__main__":
    main()
