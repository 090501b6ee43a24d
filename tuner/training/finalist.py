"""A training to its end: every replica saved, chosen on training points and judged on test data.

Finalists are the best configurations once more, on seeds that no trial used. The replica that the
objective puts first on the training points is the challenger: there are more of them than held
out, and what was held out then gives a figure that nothing was chosen by.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch

from ..evaluation.metrics import audit
from ..evaluation.objective import NeighbourGraph, evaluate
from .saved_model import Model
from .trial import Evaluation, Trial, TrialSpec, trial_data

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Scalar

Watch = Callable[[Evaluation], None]


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One finalist: what its replicas are chosen by, and what they are worth on the test split.

    `values` are what the objective gives each on the training points of the graph; `scores` and
    `audits` are theirs on the test split. `number` is the trial whose configuration it is;
    `folder` holds a model per replica.
    """

    rank: int
    number: int
    method: str
    settings: Mapping[str, "Scalar"]
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    scores: tuple[float, ...]
    guards: Mapping[str, float]
    audits: tuple[Mapping[str, float], ...]
    folder: str
    started: float
    ended: float
    failure: str | None = None
    note: str = ""

    @property
    def mean(self) -> float:
        """Mean score on the test split."""
        return float(np.mean(self.scores)) if self.scores else 0.0

    @property
    def sd(self) -> float:
        """Standard deviation over replicas of the score on the test split."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0

    @property
    def best(self) -> int:
        """The replica with the highest value of those that hold clusters in the test split."""
        return max(range(len(self.values)), key=self._worth)

    @property
    def best_value(self) -> float:
        """The value of the best replica."""
        return self.values[self.best]

    @property
    def is_usable(self) -> bool:
        """Whether any replica found clusters."""
        return any(score > 0 for score in self.scores)

    def _worth(self, replica: int) -> tuple[bool, float]:
        return self.scores[replica] > 0, self.values[replica]

    def model_folder(self, replica: int) -> Path:
        """Return where the model of a replica is."""
        return Path(self.folder) / f"replica-{replica}"

    def metrics(self) -> dict[str, float]:
        """Return for tracking what replicas are chosen by and their figures on the test split."""
        figures = {"test/score": self.mean, "test/score_sd": self.sd}
        figures |= {f"test/score_{r}": score for r, score in enumerate(self.scores)}
        figures |= {f"score/value_{r}": value for r, value in enumerate(self.values)}
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
        listed = {key: tuple(values[key]) for key in ("seeds", "values", "scores", "audits")}
        return cls(**{**values, **listed})


def fit_finalist(
    spec: TrialSpec,
    rank: int,
    dataset: "Dataset",
    graph: NeighbourGraph,
    test_graph: NeighbourGraph,
    *,
    labels_used: bool = False,
    watch: Watch | None = None,
) -> Finalist:
    """Train a job to its end, save its replicas and judge them on the test split.

    `watch` is told every evaluation.
    """
    started = time.time()
    trial = Trial(spec, trial_data(dataset, graph))
    last = _run(trial, watch)
    finalist = Finalist(
        rank=rank,
        number=spec.number,
        method=spec.method,
        settings=trial.config.to_mapping(),  # its batches may have been halved
        seeds=spec.seeds,
        values=(),
        scores=(),
        guards={},
        audits=(),
        folder=spec.folder,
        started=started,
        ended=time.time(),
        failure=last.failure,
        note=trial.note,
    )
    if last.failure in (None, "collapsed"):
        _save(trial, dataset, finalist, labels_used=labels_used)
        finalist = replace(_judged(finalist, trial, dataset, test_graph), values=last.replicas)
    return replace(finalist, ended=time.time())


def _run(trial: Trial, watch: Watch | None) -> Evaluation:
    while True:
        evaluation = trial.advance()
        if watch is not None:
            watch(evaluation)
        if evaluation.finished:
            return evaluation


def _save(trial: Trial, dataset: "Dataset", finalist: Finalist, *, labels_used: bool) -> None:
    config, shape, scaling = trial.config, dataset.shape, dataset.scaling
    for r, clusterer in enumerate(trial.method.clusterers()):
        model = Model(finalist.method, config, shape, clusterer, scaling, labels_used)
        model.save(finalist.model_folder(r))


def _judged(
    finalist: Finalist, trial: Trial, dataset: "Dataset", test_graph: NeighbourGraph
) -> Finalist:
    points = torch.tensor(dataset.test, device=trial.spec.device)
    log_proba = trial.method.predict_log_proba(points).float().cpu().numpy()
    judged = evaluate(test_graph, log_proba[:, test_graph.index])
    labels = dataset.test_labels
    return replace(
        finalist,
        scores=tuple(float(score) for score in judged.score),
        guards=judged.metrics(),
        audits=() if labels is None else tuple(audit(replica, labels) for replica in log_proba),
    )
