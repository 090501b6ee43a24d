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

FLAGS = {
    "penguins": ["--drop", "rowid,year", "--missing", "mean"],
    "iris": [],
    "wine": [],
    "customers": ["--drop", "CustomerID"],
    "wholesale": ["--drop", "Region", "--scale", "log1p"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TABLES))
    parser.add_argument("--method", default="gmm,vade,em_vae")
    parser.add_argument("--trials", default="40")
    given = parser.parse_args()
    print("table, points, true K: champion K and AMI; k-means at true K; k-means by silhouette")
    for name in given.names:
        with tempfile.TemporaryDirectory() as folder:
            print(_row(name, Path(folder), given.method, given.trials), flush=True)


def _row(name: str, folder: Path, method: str, trials: str) -> str:
    frame, labels = TABLES[name](0)
    frame.to_csv(folder / f"{name}.csv", index=False)
    command = ["tuner", "search", "--dataset", f"{name}.csv", "--labels", str(labels)]
    command += [*FLAGS[name], "--method", method, "--trials", trials, "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", "from tuner.cli.app import main; main()", *command[1:]],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    result = json.loads(ran.stdout)
    values = dict(zip(FLAGS[name][::2], FLAGS[name][1::2], strict=True))
    data = load(
        frame,
        labels=labels,
        preparation=Preparation(
            drop=tuple(values.get("--drop", "").split(",")) if "--drop" in values else (),
            missing=values.get("--missing", "refuse"),
            scale=values.get("--scale", "auto"),
        ),
    )
    true_k = len(data.label_names)
    audit = result["audit"] or {}
    champion = result["champion"]
    found = "none" if champion is None else f"K {result['components']['chosen']}"
    return (
        f"{name}, {len(frame)}, {true_k}: {found}, AMI {audit.get('ami', float('nan')):.2f} "
        f"({'' if champion is None else champion.get('method', '')}); "
        f"{_kmeans(data, true_k):.2f}; "
        f"{_kmeans(data, None)}  [{' '.join(command)}]"
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
