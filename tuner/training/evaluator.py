"""How a trial is evaluated: objective, guards against bad partitions, and audit."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.metrics import DIVERGED, audit
from ..evaluation.objective import PartitionScores, audit_name, evaluate, needs_labels
from ..methods.contract import Bounds, Method, Report
from ..study.study import GRAPH_OBJECTIVES
from .evaluations import Evaluation
from .restarts import Candidates, Positions, Standing, leading, standing
from .trial_inputs import TrialData

Audits = Mapping[str, NDArray[np.float64]]


@final
class TrialEvaluator:
    """Evaluates a method on the points of the neighbour graph.

    `points` (n, *shape) are those points, scaled, on the device of the method.
    """

    def __init__(self, shared: TrialData, points: Tensor, objective: str) -> None:
        self._graph, self._labels = shared.graph, shared.labels
        self._points = points
        self._objective = objective

    def evaluate(
        self, method: Method, report: Report, *, passes: int, finished: bool, left: Candidates
    ) -> tuple[Evaluation, Standing]:
        """Return the evaluation of a method that has just yielded a report, and a standing.

        The evaluation is of the leading candidate of each replica, the standing of all `left`.
        """
        log_proba, scores = self._scores(method) if report.clusters else (None, None)
        found = np.zeros(len(left.left)) if scores is None else standing(scores)
        lead = leading(found, left.replicas)
        evaluation = Evaluation(
            epoch=report.epoch,
            passes=passes,
            stage=report.stage,
            value=None,
            finished=finished,
            failure="no clusters" if finished else None,
            metrics=_train_metrics(report, lead),
        )
        if log_proba is not None and scores is not None:
            evaluation = self._scored(evaluation, method, log_proba[lead], scores.of(lead), lead)
        if all_diverged(report):
            evaluation = replace(evaluation, value=None, sd=0.0, failure="diverged")
        finite = {name: v for name, v in evaluation.metrics.items() if math.isfinite(v)}
        return replace(evaluation, metrics=finite), found

    def _scores(self, method: Method) -> tuple[NDArray[np.float32], PartitionScores]:
        log_proba = method.predict_log_proba(self._points).float().cpu().numpy()
        return log_proba, evaluate(self._graph, log_proba)

    def _scored(
        self,
        evaluation: Evaluation,
        method: Method,
        log_proba: NDArray[np.float32],
        scores: PartitionScores,
        lead: Positions,
    ) -> Evaluation:
        """Return the evaluation completed with value, scores and audit of the clusters."""
        audits = self._audit(log_proba, scores.diverged)
        metrics = {f"score/{name}": v for name, v in scores.metrics().items()}
        if evaluation.finished and not scores.diverged.any():
            metrics["score/agreement"] = scores.agreement()
        metrics |= {f"audit/{name}": float(values.mean()) for name, values in audits.items()}
        replicas = self._replica_values(method, scores, audits, lead)
        value, sd = self._mean_and_sd(replicas, _usable(scores))
        return replace(
            evaluation,
            value=value,
            sd=sd,
            failure=_failure(scores) if evaluation.finished else None,
            metrics={**evaluation.metrics, **metrics},
            replicas=tuple(float(v) for v in replicas),
        )

    def _replica_values(
        self, method: Method, scores: PartitionScores, audits: Audits, lead: Positions
    ) -> NDArray[np.float64]:
        """Return the objective of each replica, shape (R,)."""
        if self._objective in GRAPH_OBJECTIVES:
            return scores.score
        if needs_labels(self._objective):
            return audits[audit_name(self._objective)]
        clusterers = method.clusterers()
        leaders = [clusterers[position] for position in lead]
        bounds = [c.elbo(self._points) for c in leaders if isinstance(c, Bounds)]
        return np.array([bound.mean().item() for bound in bounds])

    def _audit(self, log_proba: NDArray[np.float32], diverged: NDArray[np.bool_]) -> Audits:
        """Return the metrics against labels, each (R,), `DIVERGED` for a diverged replica."""
        labels = self._labels
        if labels is None:
            return {}
        audits = [
            DIVERGED if has_diverged else audit(replica, labels)
            for replica, has_diverged in zip(log_proba, diverged, strict=True)
        ]
        return {name: np.array([values[name] for values in audits]) for name in DIVERGED}

    def _mean_and_sd(
        self, replicas: NDArray[np.float64], usable: NDArray[np.bool_]
    ) -> tuple[float | None, float]:
        """Return mean and standard deviation over replicas, with the lowest for unusable ones.

        A likelihood bound has no lowest value, so unusable replicas are left out of its mean.
        """
        if self._objective == "elbo":
            replicas = replicas[usable]
        elif self._objective not in GRAPH_OBJECTIVES:  # which score unusable replicas themselves
            replicas = np.where(usable, replicas, 0.0)
        if len(replicas) == 0 or not np.isfinite(replicas).all():
            return None, 0.0
        sd = float(replicas.std(ddof=1)) if len(replicas) > 1 else 0.0
        return float(replicas.mean()), sd


def all_diverged(report: Report) -> bool:
    """Return whether some metric of a report is finite in no replica."""
    finite = [tensor.isfinite().any() for tensor in report.metrics.values()]
    return bool(finite) and not bool(torch.stack(finite).all())  # one wait for a GPU


def _train_metrics(report: Report, lead: Positions) -> dict[str, float]:
    """Return the mean over replicas of each metric that training reports."""
    return {
        f"train/{name}": tensor.float()[lead.tolist()].mean().item()
        for name, tensor in report.metrics.items()
    }


def _usable(scores: PartitionScores) -> NDArray[np.bool_]:
    return ~(scores.diverged | scores.collapsed)


def _failure(scores: PartitionScores) -> str | None:
    """Return why no replica is usable, None if one is."""
    if scores.diverged.all():
        return "diverged"
    return None if _usable(scores).any() else "collapsed"
