"""One configuration trained here, without a search: no Ray, no ledger, no registry."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch

from .errors import NoUsableTrialError, UsageError
from .metrics import audit
from .model import Model
from .objective import evaluate, neighbour_graph
from .trial import Evaluation, Job, Trial, material

if TYPE_CHECKING:
    from .data import Dataset
    from .method import Scalar
    from .study import Plan

Watch = Callable[[Evaluation], None]


@final
@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training left: per replica its seed, and score and audit on the test split.

    `best` is the replica with the highest score, `model` the folder of its model.
    """

    method: str
    settings: Mapping[str, "Scalar"]
    dataset: str
    fingerprint: str
    seeds: Sequence[int]
    scores: Sequence[float]
    audits: Sequence[Mapping[str, float]]
    best: int
    model: str
    seconds: float
    notes: Sequence[str]

    def to_mapping(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def train(
    plan: "Plan", *, seed: int, folder: Path, device: str | None = None, watch: Watch
) -> Trained:
    """Train the one configuration of a plan on the seeds `seed`, `seed` + 1, … and judge it.

    Every replica is saved in `folder` as a model, and the best one by score as `best`. A training
    that was cut off goes on from its last checkpoint.
    """
    (branch,) = plan.branches.values()
    study, dataset = plan.study, plan.dataset
    _check_folder(folder)
    began = time.monotonic()
    job = Job(
        number=0,
        method=branch.method,
        settings=branch.config({}).to_mapping(),
        seeds=tuple(range(seed, seed + study.replicas)),
        objective="score",
        folder=str(folder),
        device=_default_device() if device is None else device,
    )
    graph = neighbour_graph(dataset.train, fingerprint=dataset.fingerprint)
    trial = Trial(job, material(dataset, graph))
    last = _run(trial, watch)
    if last.failure is not None:
        raise NoUsableTrialError(
            f"the training of {job.method} found no clusters ({last.failure}): see "
            f"{folder / 'metrics.jsonl'}, and try other settings with --set"
        )
    models = _saved(trial, dataset)
    scores, audits = _judged(trial, dataset)
    best = max(range(len(scores)), key=lambda r: scores[r])
    models[best].save(folder / "best")
    return Trained(
        method=job.method,
        settings=job.settings,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        seeds=job.seeds,
        scores=scores,
        audits=audits,
        best=best,
        model=str(folder / "best"),
        seconds=time.monotonic() - began,
        notes=[trial.note] if trial.note else [],
    )


def free_folder(artifacts: Path, plan: "Plan") -> Path:
    """Return train-METHOD-DATA-n with the first n that is free."""
    from .study import slug

    (method,) = plan.branches
    stem, n = f"train-{method}-{slug(plan.dataset.name)}", 1
    while (artifacts / f"{stem}-{n}").exists():
        n += 1
    return artifacts / f"{stem}-{n}"


def _run(trial: Trial, watch: Watch) -> Evaluation:
    while True:
        evaluation = trial.advance()
        watch(evaluation)
        if evaluation.finished:
            return evaluation


def _saved(trial: Trial, dataset: "Dataset") -> list[Model]:
    """Save every replica and return them."""
    job, shape, scaling = trial.job, dataset.shape, dataset.scaling
    models = [
        Model(job.method, trial.config, shape, clusterer, scaling)
        for clusterer in trial.method.clusterers()
    ]
    for r, model in enumerate(models):
        model.save(Path(job.folder) / f"replica-{r}")
    return models


def _judged(trial: Trial, dataset: "Dataset") -> tuple[list[float], list[dict[str, float]]]:
    """Return the replicas' scores and audits on the test split."""
    graph = neighbour_graph(dataset.test, fingerprint=f"{dataset.fingerprint}/test")
    points = torch.tensor(dataset.test, device=trial.job.device)
    log_proba = trial.method.predict_log_proba(points).float().cpu().numpy()
    labels = dataset.test_labels
    scores = evaluate(graph, log_proba[:, graph.index]).score
    audits = [] if labels is None else [audit(replica, labels) for replica in log_proba]
    return [float(score) for score in scores], audits


def _check_folder(folder: Path) -> None:
    """Refuse a folder with other things in it; what a cut-off training left is taken up."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is no folder: name one that is new or empty")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held - {"metrics.jsonl", "checkpoints"}:
        raise UsageError(f"--out {folder} is not empty: name a folder that is new or empty")


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
