"""Finalists: the best configurations, trained again to the end on seeds that no trial used.

The challenger is chosen by the objective on the training points alone, so that its score on the
test split is unbiased. The value of every replica counts half, and the mean of its finalist's
replicas the other half, since the highest of many values is partly luck. `tests/benchmarks/choice`
compares this rule with others.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch

from ..evaluation.graph import NeighbourGraph
from ..evaluation.metrics import audit
from ..evaluation.objective import evaluate
from .evaluations import Evaluation, recorded_in
from .places import Place, place
from .saved_model import Model
from .trial import Trial
from .trial_inputs import TrialSpec, trial_data

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Scalar

Watch = Callable[[Evaluation], None]


@dataclass(frozen=True)
class Candidate:
    """A replica of a finalist."""

    finalist: "Finalist"
    replica: int

    @property
    def folder(self) -> Place:
        """The folder of its model."""
        return self.finalist.model_folder(self.replica)


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A trained finalist with the results of its replicas.

    `values` are the objective of each replica on the training points of the graph. `scores` and
    `audits` are those of each replica on the test split, `guards` the means of `PartitionScores`
    there, and `found` says which replicas found clusters there, whatever their score. `number` is
    the trial whose configuration this is. `folder`, that of an attempt, holds a model per replica.
    With `restarts`, replicas and `seeds` are the candidates that are left at the end, after they
    were `halved` after these passes.
    """

    rank: int
    number: int
    method: str
    settings: Mapping[str, "Scalar"]
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    scores: tuple[float, ...]
    found: tuple[bool, ...]
    guards: Mapping[str, float]
    audits: tuple[Mapping[str, float], ...]
    folder: str
    started: float
    ended: float
    failure: str | None = None
    note: str = ""
    restarts: int = 1
    halved: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Mean score on the test split."""
        return float(np.mean(self.scores)) if self.scores else 0.0

    @property
    def sd(self) -> float:
        """Standard deviation over replicas of the score on the test split; 0 for a single one."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0

    @property
    def best(self) -> int:
        """The replica with the highest value among those that find clusters in the test split."""
        return max(range(len(self.values)), key=self._rank_key)

    def shrunk_value(self, replica: int) -> float:
        """Return the value of a replica, moved half-way to the mean of all replicas."""
        return (self.values[replica] + float(np.mean(self.values))) / 2

    @property
    def is_usable(self) -> bool:
        """Whether any replica finds clusters in the test split."""
        return any(self.found)

    def _rank_key(self, replica: int) -> tuple[bool, float]:
        return self.found[replica], self.values[replica]

    def model_folder(self, replica: int) -> Place:
        """Return the folder of the model of a replica."""
        return place(self.folder) / f"replica-{replica}"

    def metrics(self) -> dict[str, float]:
        """Return the MLflow metrics: the values, and scores and audits on the test split."""
        metrics = {"test/score": self.mean, "test/score_sd": self.sd}
        metrics |= {f"test/score_{r}": score for r, score in enumerate(self.scores)}
        metrics |= {f"score/value_{r}": value for r, value in enumerate(self.values)}
        for name in self.audits[0] if self.audits else ():
            values = [values[name] for values in self.audits]
            metrics[f"audit/test_{name}"] = float(np.mean(values))
            metrics[f"audit/test_{name}_sd"] = (
                float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            )
        return metrics

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build a finalist from the result of `to_mapping`."""
        # older versions did not store `found`; there, a score of 0 means no clusters
        values = {"found": [score > 0 for score in values["scores"]], "halved": (), **values}
        names = ("seeds", "values", "scores", "found", "audits", "halved")
        return cls(**{**values, **{name: tuple(values[name]) for name in names}})


def ranked_candidates(finalists: Iterable[Finalist]) -> list[Candidate]:
    """Return all replicas that find clusters in the test split, best first by shrunk value."""
    found = [Candidate(f, r) for f in finalists for r in range(len(f.values)) if f.found[r]]
    return sorted(found, key=lambda c: -c.finalist.shrunk_value(c.replica))


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
    """Train a configuration to the end, save its replicas and score them on the test split.

    `watch` is called with every evaluation.
    """
    started = time.time()
    trial = Trial(spec, trial_data(dataset, graph))
    last = _train(trial, watch)
    finalist = replace(
        failed_finalist(spec, rank, last.failure),
        settings=trial.config.to_mapping(),  # not those of spec: batches may have been halved
        seeds=last.seeds or spec.seeds,
        folder=str(trial.folder),
        started=started,
        note=trial.note,
        halved=_halved(trial),
    )
    if last.failure in (None, "collapsed"):
        _save_replicas(trial, dataset, finalist, labels_used=labels_used)
        finalist = _with_test_results(finalist, trial, dataset, test_graph)
        finalist = replace(finalist, values=last.replicas)
    return replace(finalist, ended=time.time())


def failed_finalist(spec: TrialSpec, rank: int, failure: str | None) -> Finalist:
    """Return a finalist without results."""
    now = time.time()
    return Finalist(
        rank=rank,
        number=spec.number,
        method=spec.method,
        settings=spec.settings,
        seeds=spec.seeds,
        values=(),
        scores=(),
        found=(),
        guards={},
        audits=(),
        folder=spec.folder,
        started=now,
        ended=now,
        failure=failure,
        restarts=spec.restarts,
    )


def _halved(trial: Trial) -> tuple[int, ...]:
    """Return after which passes the candidates of a training were halved."""
    if trial.spec.restarts == 1:
        return ()
    before, halved = trial.spec.restarts, []
    for evaluation in recorded_in(trial.folder) or []:
        if evaluation.candidates < before:
            halved.append(evaluation.epoch)
        before = evaluation.candidates
    return tuple(halved)


def _train(trial: Trial, watch: Watch | None) -> Evaluation:
    while True:
        evaluation = trial.advance()
        if watch is not None:
            watch(evaluation)
        if evaluation.finished:
            return evaluation


def _save_replicas(
    trial: Trial, dataset: "Dataset", finalist: Finalist, *, labels_used: bool
) -> None:
    for r, clusterer in enumerate(trial.method.clusterers()):
        model = Model(finalist.method, trial.config, clusterer, dataset.preprocessor, labels_used)
        model.save(finalist.model_folder(r))


def _with_test_results(
    finalist: Finalist, trial: Trial, dataset: "Dataset", test_graph: NeighbourGraph
) -> Finalist:
    points = torch.tensor(dataset.test, device=trial.spec.device)
    log_proba = trial.method.predict_log_proba(points).float().cpu().numpy()
    scores = evaluate(test_graph, log_proba[:, test_graph.index])
    labels = dataset.test_labels
    return replace(
        finalist,
        scores=tuple(float(score) for score in scores.score),
        found=tuple(bool(found) for found in ~(scores.collapsed | scores.diverged)),
        guards=scores.metrics(),
        audits=() if labels is None else tuple(audit(replica, labels) for replica in log_proba),
    )
