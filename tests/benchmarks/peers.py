"""VaDE and DEC beside those of ClustPy: accuracy and time of the same work.

    pip install --no-deps clustpy
    python -m tests.benchmarks.peers [--method vade,dec] [--points 10000] [--seeds 3] [--out FILE]

The first points of MNIST, equal layers (500-500-2000-10), batches and epochs, one seed after the
other, in turns; everything else is each side's own default. ClustPy is no part of this project's
environments: install it for this comparison.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks._ratios import in_turns, ratio, write
from tuner.data import load
from tuner.evaluation.metrics import contingency, hungarian
from tuner.methods import catalog

EPOCHS = 10
BATCH = 256
SCHEDULE = {"vade": "joint_epochs", "dec": "epochs"}

Labels = NDArray[np.int64]


def ours(method: str, x: NDArray[np.float32], seed: int) -> Labels:
    """Return the clusters of this package's method."""
    owner = catalog.method(method)
    schedule = {SCHEDULE[method]: EPOCHS, "pretraining_epochs": EPOCHS}
    if method == "dec":  # the other side draws its target up anew with every batch
        schedule["update_interval"] = -(-len(x) // BATCH)
    batches = {"batch_size": BATCH, "pretraining_batch_size": BATCH}
    config = owner.config_type.from_mapping({"n_components": 10, **schedule, **batches})
    points = torch.from_numpy(x)
    trained = owner(config, x.shape[1:], [seed])
    for _ in trained.fit(points):
        pass
    labels: Labels = trained.predict_log_proba(points)[0].argmax(1).numpy()
    return labels


def theirs(method: str, x: NDArray[np.float32], seed: int) -> Labels:
    """Return the clusters of ClustPy's method of the same name."""
    from clustpy import deep  # type: ignore[import-not-found]

    owner: Any = {"vade": deep.VaDE, "dec": deep.DEC}[method]
    trained = owner(
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
    """Train both sides on every seed in turns and return times and accuracies."""
    found: dict[str, list[float]] = {"clustpy": [], "ours": []}

    def run(name: str, side: Callable[[str, NDArray[np.float32], int], Labels]) -> None:
        labels = side(method, x, len(found[name]))
        found[name].append(hungarian(contingency(labels, truth)))

    peer, own = in_turns(
        {"clustpy": lambda: run("clustpy", theirs), "ours": lambda: run("ours", ours)}, seeds
    )
    accuracy = {
        name: f"{np.mean(each):.3f} ± {np.std(each, ddof=1) if len(each) > 1 else 0:.3f}"
        for name, each in found.items()
    }
    print(f"{method}:")
    write(None, [peer, own], faster=ratio(peer, own), accuracy=accuracy)
    return {"timed": [peer.seconds, own.seconds], "accuracy": accuracy, "each": found}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--method", default="vade,dec")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = load("mnist")
    assert data.train_labels is not None
    x = data.train[: asked.points].reshape(asked.points, -1)
    truth = data.train_labels[: asked.points]
    facts = {m: compare(m, x, truth, asked.seeds) for m in asked.method.split(",")}
    if asked.out is not None:
        write(asked.out, [], **facts)


if __name__ == "__main__":
    main()
