"""Finalists: the best configurations once more, on seeds that no trial used, judged on test data.

Fresh seeds nominate, held-out points decide. The best replica by score is the challenger.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch

from .metrics import audit
from .model import Model
from .objective import NeighbourGraph, evaluate
from .trial import Evaluation, Job, Trial, material

if TYPE_CHECKING:
    from .data import Dataset
    from .method import Scalar


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One finalist: `scores` and `audits` are its replicas' on the test split.

    `number` is the trial whose configuration it is; `folder` holds a model per replica.
    """

    rank: int
    number: int
    method: str
    settings: Mapping[str, "Scalar"]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    guards: Mapping[str, float]
    audits: tuple[Mapping[str, float], ...]
    folder: str
    started: float
    ended: float
    failure: str | None = None

    @property
    def mean(self) -> float:
        """Mean score over replicas."""
        return float(np.mean(self.scores)) if self.scores else 0.0

    @property
    def sd(self) -> float:
        """Standard deviation of the score over replicas."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0

    @property
    def best(self) -> int:
        """The replica with the highest score."""
        return int(np.argmax(self.scores))

    @property
    def is_usable(self) -> bool:
        """Whether any replica found clusters."""
        return bool(self.scores) and max(self.scores) > 0

    def model_folder(self, replica: int) -> Path:
        """Return where the model of a replica is."""
        return Path(self.folder) / f"replica-{replica}"

    def metrics(self) -> dict[str, float]:
        """Return the figures on the test split for tracking."""
        figures = {"test/score": self.mean, "test/score_sd": self.sd}
        figures |= {f"test/score_{r}": score for r, score in enumerate(self.scores)}
        for name in self.audits[0] if self.audits else ():
            values = [values[name] for values in self.audits]
            figures[f"audit/test_{name}"] = float(np.mean(values))
            figures[f"audit/test_{name}_sd"] = (
                float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            )
        return figures

    def to_mapping(self) -> dict[str, Any]:
        """Return the finalist as JSON values."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the finalist that `to_mapping` wrote."""
        listed = {key: tuple(values[key]) for key in ("seeds", "scores", "audits")}
        return cls(**{**values, **listed})


def fit_finalist(
    job: Job,
    rank: int,
    dataset: "Dataset",
    graph: NeighbourGraph,
    test_graph: NeighbourGraph,
    *,
    labels_used: bool,
) -> Finalist:
    """Train a finalist to its end, save its replicas and judge them on the test split."""
    started = time.time()
    trial = Trial(job, material(dataset, graph))
    last = _run(trial)
    finalist = Finalist(
        rank=rank,
        number=job.number,
        method=job.method,
        settings=job.settings,
        seeds=job.seeds,
        scores=(),
        guards={},
        audits=(),
        folder=job.folder,
        started=started,
        ended=time.time(),
        failure=last.failure,
    )
    if last.failure in (None, "collapsed"):
        finalist = _judged(finalist, trial, dataset, test_graph, labels_used=labels_used)
    return replace(finalist, ended=time.time())


def _run(trial: Trial) -> Evaluation:
    evaluation = trial.advance()
    while not evaluation.finished:
        evaluation = trial.advance()
    return evaluation


def _judged(
    finalist: Finalist,
    trial: Trial,
    dataset: "Dataset",
    test_graph: NeighbourGraph,
    *,
    labels_used: bool,
) -> Finalist:
    points = torch.tensor(dataset.test, device=trial.job.device)
    log_proba = trial.method.predict_log_proba(points).float().cpu().numpy()
    judged = evaluate(test_graph, log_proba[:, test_graph.index])
    shape = tuple(dataset.train.shape[1:])
    for r, clusterer in enumerate(trial.method.clusterers()):
        model = Model(
            finalist.method, trial.config, shape, clusterer, dataset.scaling, labels_used
        )
        model.save(finalist.model_folder(r))
    labels = dataset.test_labels
    return replace(
        finalist,
        scores=tuple(float(score) for score in judged.score),
        guards=judged.metrics(),
        audits=() if labels is None else tuple(audit(replica, labels) for replica in log_proba),
    )
