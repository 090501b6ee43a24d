"""Made-up searches for the page that reports one."""

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tuner.ledger.importances import Importances
from tuner.ledger.records import State, TrialRecord
from tuner.orchestration.result import Result
from tuner.reports.search_page import FailureKind, Picture, SearchFacts
from tuner.training.finalist import Finalist

SEARCHED: dict[str, Any] = {
    "em_vae.n_components": {"int": [2, 30]},
    "em_vae.learning_rate": {"float": [1e-5, 1e-1], "log": True},
    "em_vae.architecture": {"choice": ["perceptron", "convolutional"]},
    "em_vae.hidden": {"int": [8, 64], "when": {"architecture": "perceptron"}},
    "em_vae.epochs": 20,
    "gmm.n_components": {"int": [2, 30]},
    "gmm.covariance": {"choice": ["full", "diag"]},
}


def png() -> bytes:
    """Return a small picture."""
    figure, file = Figure(figsize=(1, 0.5)), io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def trial(number: int, **changes: Any) -> TrialRecord:
    """Return a trial of em_vae or gmm, every third of them stopped early or failed."""
    rng = np.random.default_rng(number)
    method = "gmm" if number % 4 == 3 else "em_vae"
    state: State = "PRUNED" if number % 6 == 2 else "FAIL" if number % 6 == 5 else "COMPLETE"
    params: dict[str, Any] = {"n_components": 2 + number % 5, "covariance": "full"}
    if method == "em_vae":
        params = {
            "n_components": 2 + number % 5,
            "learning_rate": float(10.0 ** rng.uniform(-5, -1)),
            "architecture": "perceptron" if number % 2 else "convolutional",
        } | ({"hidden": 16} if number % 2 else {})
    value = 0.5 + 0.04 * (number % 5) + 0.1 * rng.random()
    reported = {epoch: value * (1 - 0.5**epoch) for epoch in (1, 2, 4, 8)}
    known = {
        "number": number,
        "state": state,
        "method": method,
        "params": params,
        "value": value if state == "COMPLETE" else None,
        "attempt": 0,
        "outcome": {"reason": None, "detail": "", "sd": 0.01, "epoch": 8, "device": "cpu"},
        "intermediate_values": {} if state == "FAIL" else reported,
        "started": 1_800_000_000.0 + number,
        "ended": 1_800_000_009.0 + number,
    }
    if state == "FAIL":
        known["outcome"] = {"reason": "diverged", "detail": "the loss is not finite"}
    return TrialRecord(**{**known, **changes})


def finalist(rank: int, number: int, **changes: Any) -> Finalist:
    """Return a finalist with three replicas."""
    known: dict[str, Any] = {
        "rank": rank,
        "number": number,
        "method": "em_vae",
        "settings": {"n_components": 6},
        "seeds": (1, 2, 3),
        "values": (0.7, 0.8, 0.6),
        "scores": (0.61, 0.66, 0.64),
        "found": (True, True, True),
        "guards": {},
        "audits": (),
        "folder": f"finalist-{rank}/attempt",
        "started": 0.0,
        "ended": 1.0,
    }
    return Finalist(**{**known, **changes})


def result(**changes: Any) -> dict[str, Any]:
    """Return what the ledger stores of a search that has promoted a champion."""
    known: dict[str, Any] = {
        "search": "shapes",
        "trials": {"total": 30, "complete": 20, "pruned": 5, "failed": 5},
        "best": {"number": 4, "method": "em_vae", "params": {}, "score": 0.7, "sd": 0.01},
        "champion": {
            "name": "shapes",
            "version": 3,
            "uri": "models:/shapes@champion",
            "promoted": True,
            "score": 0.66,
            "interval": [0.6, 0.7],
            "n_components": 6,
            "trial": 4,
            "confidence": 0.9,
        },
        "audit": {"split": "test", "hungarian": 0.83, "measure": "ami", "rank_correlation": None},
        "seconds": 60.0,
        "tracking_uri": "postgresql://me:canary@host/mlflow",
        "finalists": [{"trial": 4, "method": "em_vae"}, {"trial": 9, "method": "em_vae"}],
        "baselines": {"kmeans": 0.58, "louvain": 0.71},
        "structure": {"clustered": True, "p_value": 0.05, "excess": 0.4, "cloud": "flat"},
        "components": {
            "chosen": 6,
            "plausible": [5, 6],
            "scores": [
                {"n_components": k, "effective": k - 0.1, "trial": k, "score": 0.1 * k, "sd": 0.05}
                for k in (2, 5, 6)
            ],
        },
        "notes": ["it beats version 2 in 97 % of halves", "the model is beaten by Louvain"],
    }
    return Result.from_mapping({**known, **changes}).to_mapping()


def record(**changes: Any) -> Mapping[str, Any]:
    """Return what the ledger recorded of the search."""
    return {
        "study": {
            "methods": ["em_vae", "gmm"],
            "dataset": "/data/shapes.csv",
            "labels": "kind",
            "objective": "separation",
            "use_labels": False,
            "replicas": 3,
            "scheduler": "asha",
            "preparation": {"drop": ["row"]},
        },
        "searched": SEARCHED,
        "data": {
            "name": "shapes",
            "fingerprint": "ab12" * 16,
            "train": 4000,
            "test": 1000,
            "shape": [4],
        },
        "preparation": {"description": "columns: 4 numbers", "notes": ["a is left out"]},
        "code_version": "0.1.0",
        **changes,
    }


def facts(**changes: Any) -> SearchFacts:
    """Return a search that has ended, with everything there is to say."""
    trials = [trial(number) for number in range(30)]
    failed = [one.number for one in trials if one.state == "FAIL"]
    known = SearchFacts(
        name="shapes",
        state="done",
        stopped=None,
        total=30,
        seconds=60.0,
        record=record(),
        trials=trials,
        finalists=[finalist(0, 4), finalist(1, 9, scores=(0.5, 0.52, math.nan))],
        failures=[FailureKind(kind="diverged", trials=failed, detail="the loss is not finite")],
        importances=[
            Importances(method="em_vae", trials=15, shares={"n_components": 0.7, "hidden": 0.3}),
            Importances(method="gmm", trials=5, omitted="too few complete trials (5)"),
        ],
        result=result(),
        pictures=[Picture(name=name, content=png()) for name in ("codes", "confusion", "samples")],
        shown=4,
        versions={"Python": "3.12.1"},
        written=1_800_000_100.0,
    )
    return replace(known, **changes)
