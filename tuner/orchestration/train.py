"""Training of one configuration without a search: no Ray, no ledger, no registry."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch

from ..errors import DiskError, NoUsableTrialError, UsageError
from ..evaluation.structureless import scored_graph
from ..reports import model_pictures
from ..small_files import left_as_found
from ..training.attempts import CHECKPOINTS, METRICS_FILE, delete_attempts, is_attempt
from ..training.evaluations import EvaluationLog, read_evaluations
from ..training.finalist import Watch, fit_finalist
from ..training.places import Place
from ..training.saved_model import Model
from ..training.trial_inputs import TrialSpec
from .locations import draw_pictures

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from ..study.plan import Plan


@final
@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The outcome of a training.

    `seeds`, `values`, `scores` and `audits` have one entry per replica: `values` are scores on the
    training points, `scores` and `audits` come from the test split. `best` is the replica with
    the highest value, `model` the folder of its model, `pictures` that of its plots. With
    `restarts` a replica is the best of so many candidates, which were `halved` after these passes.
    """

    method: str
    settings: Mapping[str, "Scalar"]
    dataset: str
    fingerprint: str
    seeds: Sequence[int]
    values: Sequence[float]
    scores: Sequence[float]
    audits: Sequence[Mapping[str, float]]
    best: int
    model: str
    pictures: str
    seconds: float
    notes: Sequence[str]
    restarts: int = 1
    halved: Sequence[int] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


def train(
    plan: "Plan",
    *,
    seed: int,
    folder: Place,
    pretraining_cache: Place | None = None,
    device: str | None = None,
    watch: Watch,
) -> TrainingResult:
    """Train the one configuration of a plan on the seeds `seed`, `seed` + 1, … and evaluate it.

    `folder` receives a model per replica, the best one by its score on the training points again
    as `best`, and its plots. An interrupted training resumes from its last checkpoint.
    `pretraining_cache` is a folder from which pretrained networks are taken, or to which they are
    added. `watch` receives every evaluation.
    """
    (branch,) = plan.branches.values()
    study, dataset = plan.study, plan.dataset
    check_folder(folder)
    started = time.monotonic()
    spec = TrialSpec(
        number=0,
        method=branch.method,
        settings=branch.config({}).to_mapping(),
        seeds=tuple(range(seed, seed + study.replicas * study.restarts)),
        restarts=study.restarts,
        objective="separation",
        folder=str(folder),
        device=default_device() if device is None else device,
        pretraining_cache="" if pretraining_cache is None else str(pretraining_cache),
    )
    graph = scored_graph(dataset.train, fingerprint=dataset.fingerprint)
    test_graph = scored_graph(dataset.test, fingerprint=f"{dataset.fingerprint}/test")
    trained = fit_finalist(spec, 0, dataset, graph, test_graph, watch=watch)
    evaluations = read_evaluations(folder)
    EvaluationLog(folder, evaluations)
    if trained.failure is not None:
        raise NoUsableTrialError(
            f"{spec.method} found no clusters ({trained.failure}): see "
            f"{folder / METRICS_FILE}, and try other settings with --set"
        )
    models = [Model.load(trained.model_folder(r)) for r in range(study.replicas)]
    for r, model in enumerate(models):
        model.save(folder / f"replica-{r}")
    models[trained.best].save(folder / "best")
    delete_attempts(folder)
    pictures = folder / "pictures"
    failures = draw_pictures(
        pictures, partial(model_pictures.draw, models[trained.best], dataset, evaluations)
    )
    return TrainingResult(
        method=spec.method,
        settings=trained.settings,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        seeds=trained.seeds,
        values=trained.values,
        scores=trained.scores,
        audits=trained.audits,
        best=trained.best,
        restarts=trained.restarts,
        halved=trained.halved,
        model=str(folder / "best"),
        pictures=str(pictures),
        seconds=time.monotonic() - started,
        notes=[note for note in (trained.note, *failures) if note],
    )


def free_folder(artifacts: Place, plan: "Plan") -> Place:
    """Return train-METHOD-DATA-n with the first n for which there is no folder yet."""
    from ..study.slugs import slug

    (method,) = plan.branches
    stem, n = f"train-{method}-{slug(plan.dataset.name)}", 1
    while (artifacts / f"{stem}-{n}").exists():
        n += 1
    return artifacts / f"{stem}-{n}"


def check_folder(folder: Place) -> None:
    """Raise unless a folder is new, empty, or holds nothing but an interrupted training."""
    if isinstance(folder, Path):
        _check_disk(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not all(is_attempt(name) for name in names - {METRICS_FILE, CHECKPOINTS}):
        raise UsageError(f"--out {folder} is not empty: choose a new or empty folder")


def _check_disk(folder: Path) -> None:
    """Raise unless a path is a folder that can be written to, or may become one."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"--out {folder} is not a folder: choose a new or empty one")
    try:
        with left_as_found(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:
        raise DiskError(
            f"--out {folder} cannot be written to ({error.strerror}): choose another folder"
        ) from None


def default_device() -> str:
    """Return the device that a training without a search takes."""
    return "cuda" if torch.cuda.is_available() else "cpu"
