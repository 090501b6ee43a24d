"""Raw tables, one command each: the champion's AMI and K beside k-means and the truth.

    python -m tests.benchmarks.public_tables [NAME …] [--method METHODS] [--trials N]

The tables are look-alikes of small public ones (`tests/lookalikes.py`). k-means runs on the same
features with the true K and with the K of the best silhouette from 2 to 12, ten starts each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score

from tests.lookalikes import TABLES
from tuner.data import Dataset, Preparation, load
from tuner.data.preparation import split_names

RUNS = {
    "penguins": ("penguins", ["--drop", "rowid,year", "--missing", "mean"]),
    "penguins, measured": ("penguins", ["--drop", "rowid,year,island,sex", "--missing", "mean"]),
    "iris": ("iris", []),
    "wine": ("wine", []),
    "customers": ("customers", ["--drop", "CustomerID"]),
    "customers, money": ("customers", ["--drop", "CustomerID,Gender,Age"]),
    "wholesale": ("wholesale", ["--categories", "Region", "--scale", "robust"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RUNS))
    parser.add_argument("--method", default="gmm,vade,em_vae")
    parser.add_argument("--trials", default="40")
    given = parser.parse_args()
    print("| data | true K | champion | AMI | k-means at true K | k-means by silhouette |")
    for name in given.names:
        with tempfile.TemporaryDirectory() as folder:
            print(_row(name, Path(folder), given.method, given.trials), flush=True)


def _row(name: str, folder: Path, method: str, trials: str) -> str:
    table, flags = RUNS[name]
    frame, labels = TABLES[table](0)
    frame.to_csv(folder / f"{table}.csv", index=False)
    command = ["search", "--dataset", f"{table}.csv", "--labels", str(labels), *flags]
    command += ["--method", method, "--trials", trials, "--json"]
    program = "from tuner.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    result = json.loads(ran.stdout)
    data = load(frame, labels=labels, preparation=_preparation(flags))
    true_k = len(data.label_names)
    champion = result["champion"]
    found = "no clusters" if champion is None else f"K = {result['components']['chosen']}"
    audit = result["audit"] or {}
    return (
        f"| {name} | {true_k} | {found} | {audit.get('ami', float('nan')):.2f} "
        f"| {_kmeans(data, true_k):.2f} | {_kmeans(data, None)} | `{' '.join(command)}`"
    )


def _preparation(flags: list[str]) -> Preparation:
    """Return the preparation that flags of one value each stand for."""
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    return Preparation(
        drop=split_names(given.get("--drop", "")),
        categories=split_names(given.get("--categories", "")),
        missing=given.get("--missing", "refuse"),
        scale=given.get("--scale", "auto"),
    )


def _kmeans(data: Dataset, k: int | None) -> float | str:
    """Return the AMI of k-means on the test points, at K or at that of the best silhouette."""
    if k is not None:
        model = KMeans(k, n_init=10, random_state=0).fit(data.train)
        return float(adjusted_mutual_info_score(data.test_labels, model.predict(data.test)))
    scores = {}
    for n in range(2, 13):
        model = KMeans(n, n_init=10, random_state=0).fit(data.train)
        scores[n] = silhouette_score(data.train, model.labels_)
    best = max(scores, key=lambda n: scores[n])
    return f"K {best}, AMI {_kmeans(data, best):.2f}"


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
