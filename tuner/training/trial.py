"""One trial: a configuration and data in; training, evaluations and a checkpoint out.

It knows neither Ray nor MLflow. Labels are seen by the audit alone, unless the objective is one
of theirs.
"""

import json
import math
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DiskError
from ..evaluation.metrics import DIVERGED, audit
from ..evaluation.objective import NeighbourGraph, audit_name, evaluate, needs_labels
from ..methods import catalog
from ..methods.config import Config
from ..methods.contract import Bounds, Method, Pretrains, Report
from . import checkpoint
from .pretraining_cache import SharedPretraining

if TYPE_CHECKING:
    from ..data import Dataset
    from ..methods.config import Scalar

EVALUATIONS = 20
METRICS = "metrics.jsonl"
_CHECKPOINT_SECONDS = 30.0
_LEAST_BATCH = 8
_MOST_HALVINGS = 3


@final
@dataclass(frozen=True, eq=False)
class TrialData:
    """What trials learn from and are judged by: shared by all, never changed.

    `labels` are those of the graph's points and serve the audit. `fingerprint` names the data.
    """

    fingerprint: str
    x: NDArray[np.float32]
    graph: NeighbourGraph
    labels: NDArray[np.int64] | None


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What one trial is told: plain values, so that it can be sent anywhere.

    On the `shelf`, a folder, trials share what they pretrain; "" for none.
    """

    number: int
    method: str
    settings: Mapping[str, "Scalar"]
    seeds: tuple[int, ...]
    objective: str
    folder: str
    device: str = "cpu"
    pretraining_cache: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Return the job as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial says at one of its evaluations.

    `value` is what the search maximises, the mean over replicas, None while a pretraining stage
    has no clusters or nothing usable came out. `metrics` are named `train/…`, `score/…` and
    `audit/…`. `failure` says why nothing more is to be expected.
    """

    epoch: int
    passes: int
    stage: str
    value: float | None
    sd: float = 0.0
    finished: bool = False
    failure: str | None = None
    detail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    replicas: tuple[float, ...] = ()
    seconds: float = 0.0


def trial_data(dataset: "Dataset", graph: NeighbourGraph) -> TrialData:
    """Return what all trials on a dataset share."""
    labels = None if dataset.train_labels is None else dataset.train_labels[graph.index]
    return TrialData(dataset.fingerprint, dataset.train, graph, labels)


@final
class Trial:
    """A training that is advanced from evaluation to evaluation, and can be taken up again."""

    def __init__(self, spec: TrialSpec, shared: TrialData) -> None:
        self.spec = spec
        self._shared = shared
        self._folder = Path(spec.folder)
        self._x = torch.tensor(shared.x, device=spec.device)  # what arrives is read-only
        self._points = self._x[torch.tensor(shared.graph.index, device=spec.device)]
        self._owner = catalog.method(spec.method)
        self.config = self._owner.config_type.from_mapping(spec.settings)
        self._every = max(1, math.ceil(self.config.passes / EVALUATIONS))
        self._epoch = self._shrunk = 0
        self.finished = False
        self.note = ""
        self._began = self._saved = time.monotonic()
        self._reports: Iterator[Report] | None = None
        self._shared_pretraining: SharedPretraining | None = None

    def advance(self) -> Evaluation:
        """Train until the next evaluation; what goes wrong is an outcome, not a crash."""
        try:
            reports = self._begun() if self._reports is None else self._reports
            evaluation = self._advance(reports)
        except DiskError:
            raise
        except MemoryError:
            evaluation = self._failed("oom", traceback.format_exc())
        except torch.OutOfMemoryError:
            if self._halve_batches():
                return self.advance()
            evaluation = self._failed("oom", traceback.format_exc())
        except Exception as error:  # any fault of a method ends this trial and no other
            evaluation = self._failed(f"{type(error).__name__}: {error}", traceback.format_exc())
        self.finished = evaluation.finished
        if self.finished:
            self._shared_pretraining = None
        self._append(evaluation)
        if not self.finished and self._is_due():
            self.save()  # never ahead of what is written: training would go on past it
        return evaluation

    def save(self) -> None:
        """Write a checkpoint of the training as it stands, if it has got anywhere."""
        if self._epoch == 0:
            return
        state = self.method.state()
        tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        scalars = {key: value for key, value in state.items() if key not in tensors}
        document = {"job": _identity(self.spec), "epoch": self._epoch, "scalars": scalars}
        checkpoint.save_checkpoint(self._folder / "checkpoints", self._epoch, tensors, document)
        self._saved = time.monotonic()

    def _halve_batches(self) -> bool:
        """Take smaller batches from the last checkpoint on; return whether that is possible."""
        sizes = _batch_sizes(self.config)
        if min(sizes.values(), default=0) < 2 * _LEAST_BATCH or self._shrunk == _MOST_HALVINGS:
            return False
        self._shrunk += 1
        self.config = replace(self.config, **{name: size // 2 for name, size in sizes.items()})
        self._epoch, self._reports = 0, None
        vars(self).pop("method", None)  # what it holds is what there is no room for
        torch.cuda.empty_cache()
        return True

    def _begun(self) -> Iterator[Report]:
        """Build the method, take up what an earlier attempt left, and begin to train."""
        self.method = self._built()
        self.note = self._restore()
        if self._epoch == 0:
            self._take_pretrained()
        if self._shrunk:
            sizes = ", ".join(f"{name} is {n}" for name, n in _batch_sizes(self.config).items())
            self.note = f"the GPU's memory ran out, {sizes}. {self.note}".strip()
        self._forget_past(self._epoch)
        self._reports = self.method.fit(self._x)
        return self._reports

    def _take_pretrained(self) -> None:
        """Take up a pretrained network if there is one; else be the one that trains it."""
        method, spec = self.method, self.spec
        if spec.pretraining_cache and isinstance(method, Pretrains):
            self._shared_pretraining = SharedPretraining(
                method.pretraining,
                Path(spec.pretraining_cache),
                settings=self.config.pretraining,
                seeds=spec.seeds,
                shape=tuple(self._shared.x.shape[1:]),
                fingerprint=self._shared.fingerprint,
                device=spec.device,
            )
            self._shared_pretraining.take()

    def _built(self) -> Method:
        shape = tuple(self._shared.x.shape[1:])
        return self._owner(self.config, shape, self.spec.seeds, device=self.spec.device)

    def _advance(self, reports: Iterator[Report]) -> Evaluation:
        report = None
        for report in reports:
            self._epoch = report.epoch
            if self._shared_pretraining is not None:
                self._shared_pretraining.give()
            trial_lost = _all_diverged(report)
            last = report.epoch >= self.config.passes
            if trial_lost or last or report.epoch % self._every == 0:
                return self._evaluate(report, finished=trial_lost or last)
        if report is None:  # resumed at its very end
            report = Report(stage="end", epoch=max(self._epoch, 1), metrics={})
        return self._evaluate(report, finished=True)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved > _CHECKPOINT_SECONDS

    def _evaluate(self, report: Report, *, finished: bool) -> Evaluation:
        metrics = _train_metrics(report)
        value, sd, failure, replicas = None, 0.0, None, np.zeros(0)
        if report.clusters:
            log_proba = self.method.predict_log_proba(self._points).float().cpu().numpy()
            judged = evaluate(self._shared.graph, log_proba)
            metrics |= {f"score/{name}": v for name, v in judged.metrics().items()}
            if finished and not judged.diverged.any():
                metrics["score/agreement"] = judged.agreement()
            audits = self._audit(log_proba, judged.diverged)
            metrics |= {f"audit/{name}": _mean(values) for name, values in audits.items()}
            replicas = self._values(judged.score, audits)
            sound = ~(judged.diverged | judged.collapsed)
            value, sd = _summary(replicas, sound, self.spec.objective)
            failure = _reason(judged.diverged, judged.collapsed) if finished else None
        elif finished:
            failure = "no clusters"
        if _all_diverged(report):
            value, sd, failure = None, 0.0, "diverged"
        return Evaluation(
            epoch=report.epoch,
            passes=self.config.passes,
            stage=report.stage,
            value=value,
            sd=sd,
            finished=finished,
            failure=failure,
            detail=self.note,
            metrics={name: v for name, v in metrics.items() if math.isfinite(v)},
            replicas=tuple(float(v) for v in replicas),
            seconds=time.monotonic() - self._began,
        )

    def _values(
        self, score: NDArray[np.float64], audits: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return what the objective says of every replica, shape (R,)."""
        objective = self.spec.objective
        if objective == "score":
            return score
        if needs_labels(objective):
            return audits[audit_name(objective)]
        bounds = [c.elbo(self._points) for c in self.method.clusterers() if isinstance(c, Bounds)]
        return np.array([bound.mean().item() for bound in bounds])

    def _audit(
        self, log_proba: NDArray[np.float32], diverged: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float64]]:
        """Return each replica's agreement with the labels, (R,), `LOST` for a diverged one."""
        labels = self._shared.labels
        if labels is None:
            return {}
        found = [
            DIVERGED if trial_lost else audit(replica, labels)
            for replica, trial_lost in zip(log_proba, diverged, strict=True)
        ]
        return {name: np.array([values[name] for values in found]) for name in DIVERGED}

    def _failed(self, reason: str, detail: str) -> Evaluation:
        return Evaluation(
            epoch=min(self._epoch + 1, self.config.passes),  # the one before has its evaluation
            passes=self.config.passes,
            stage="failed",
            value=None,
            finished=True,
            failure=reason,
            detail=detail,
            seconds=time.monotonic() - self._began,
        )

    def _append(self, evaluation: Evaluation) -> None:
        line = json.dumps(asdict(evaluation)) + "\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise DiskError(
                f"cannot write {len(line)} bytes to {self._folder / METRICS} ({error.strerror}): "
                "free some space, or choose another folder"
            ) from error

    def _forget_past(self, epoch: int) -> None:
        """Drop what an earlier attempt wrote past the checkpoint, and a line that it tore."""
        written = self._folder / METRICS
        if written.exists():
            kept = [
                json.dumps(asdict(e)) + "\n"
                for e in read_evaluations(self._folder)
                if e.epoch <= epoch
            ]
            beside = written.with_name(f".{METRICS}")
            beside.write_text("".join(kept), encoding="utf-8")
            beside.replace(written)

    def _restore(self) -> str:
        """Take up the newest valid checkpoint of the same job; say what was passed over."""
        found, note = checkpoint.latest_valid(self._folder / "checkpoints")
        if found is None:
            return note
        tensors, document = found
        if document["job"] != _identity(self.spec):
            return "the checkpoint belongs to another configuration and was left alone"
        on_device = {name: tensor.to(self.spec.device) for name, tensor in tensors.items()}
        try:
            self.method.restore({**on_device, **document["scalars"]})
        except Exception as error:  # another version of the method wrote it
            self.method = self._built()  # it may have been restored by half
            return f"{note} the checkpoint does not fit ({error}), so training began again".strip()
        self._epoch = int(document["epoch"])
        return note


def _batch_sizes(config: Config) -> dict[str, Any]:
    settings = config.to_mapping().items()
    return {name: value for name, value in settings if name.endswith("batch_size")}


def read_evaluations(folder: Path) -> list[Evaluation]:
    """Return the evaluations that a trial wrote, one per epoch; a torn last line is dropped."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, Evaluation] = {}
    for line in lines:
        try:
            values = json.loads(line)
            evaluation = Evaluation(**{**values, "replicas": tuple(values["replicas"])})
        except (ValueError, TypeError, KeyError):
            continue
        found[evaluation.epoch] = evaluation
    return [found[epoch] for epoch in sorted(found)]


def _train_metrics(report: Report) -> dict[str, float]:
    """Return the mean over replicas of what training reports."""
    return {
        f"train/{name}": tensor.float().mean().item() for name, tensor in report.metrics.items()
    }


def _all_diverged(report: Report) -> bool:
    """Return whether no replica has a finite loss left."""
    return any(not bool(t.isfinite().any()) for t in report.metrics.values())


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _summary(
    replicas: NDArray[np.float64], sound: NDArray[np.bool_], objective: str
) -> tuple[float | None, float]:
    """Return mean and sd over replicas; a collapsed or diverged one counts 0.

    A bound has no zero: there, only the sound replicas count.
    """
    replicas = replicas[sound] if objective == "elbo" else np.where(sound, replicas, 0.0)
    if len(replicas) == 0:
        return None, 0.0
    if not np.isfinite(replicas).all():
        return None, 0.0
    sd = float(replicas.std(ddof=1)) if len(replicas) > 1 else 0.0
    return float(replicas.mean()), sd


def _reason(diverged: NDArray[np.bool_], collapsed: NDArray[np.bool_]) -> str | None:
    if diverged.all():
        return "diverged"
    return "collapsed" if (diverged | collapsed).all() else None


def _identity(spec: TrialSpec) -> dict[str, Any]:
    """Return what a checkpoint must share with the job that takes it up."""
    seeds: Sequence[int] = list(spec.seeds)
    return {"method": spec.method, "settings": dict(spec.settings), "seeds": seeds}
