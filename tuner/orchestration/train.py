"""One configuration trained here, without a search: no Ray, no ledger, no registry."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch

from ..errors import NoUsableTrialError, UsageError
from ..evaluation.objective import neighbour_graph
from ..reports import model_pictures
from ..training.evaluations import read_evaluations
from ..training.finalist import Watch, fit_finalist
from ..training.saved_model import Model
from ..training.trial_inputs import TrialSpec

if TYPE_CHECKING:
    from ..methods.contract import Scalar
    from ..study.study import Plan


@final
@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training left: per replica its seed, and score and audit on the test split.

    `values` are the scores on the training points; `best` is the replica with the highest of
    them, `model` the folder of its model and `pictures` that of what was drawn of it.
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

    def to_mapping(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def train(
    plan: "Plan",
    *,
    seed: int,
    folder: Path,
    pretraining_cache: Path | None = None,
    device: str | None = None,
    watch: Watch,
) -> TrainingResult:
    """Train the one configuration of a plan on the seeds `seed`, `seed` + 1, … and judge it.

    Every replica is saved in `folder` as a model, and the best one by its score on the training
    points as `best`, beside its pictures. A training that was cut off goes on from its last
    checkpoint. Networks that are only pretrained come from the folder `shelf`, or go there.
    """
    (branch,) = plan.branches.values()
    study, dataset = plan.study, plan.dataset
    _check_folder(folder)
    began = time.monotonic()
    spec = TrialSpec(
        number=0,
        method=branch.method,
        settings=branch.config({}).to_mapping(),
        seeds=tuple(range(seed, seed + study.replicas)),
        objective="score",
        folder=str(folder),
        device=_default_device() if device is None else device,
        pretraining_cache="" if pretraining_cache is None else str(pretraining_cache),
    )
    graph = neighbour_graph(dataset.train, fingerprint=dataset.fingerprint)
    test_graph = neighbour_graph(dataset.test, fingerprint=f"{dataset.fingerprint}/test")
    trained = fit_finalist(spec, 0, dataset, graph, test_graph, watch=watch)
    if trained.failure is not None:
        raise NoUsableTrialError(
            f"the training of {spec.method} found no clusters ({trained.failure}): see "
            f"{folder / 'metrics.jsonl'}, and try other settings with --set"
        )
    model = Model.load(trained.model_folder(trained.best))
    model.save(folder / "best")
    drawn = folder / "pictures"
    faults = model_pictures.draw(model, dataset, read_evaluations(folder), drawn)
    return TrainingResult(
        method=spec.method,
        settings=trained.settings,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        seeds=spec.seeds,
        values=trained.values,
        scores=trained.scores,
        audits=trained.audits,
        best=trained.best,
        model=str(folder / "best"),
        pictures=str(drawn),
        seconds=time.monotonic() - began,
        notes=[note for note in (trained.note, *faults) if note],
    )


def free_folder(artifacts: Path, plan: "Plan") -> Path:
    """Return train-METHOD-DATA-n with the first n that is free."""
    from ..study.study import slug

    (method,) = plan.branches
    stem, n = f"train-{method}-{slug(plan.dataset.name)}", 1
    while (artifacts / f"{stem}-{n}").exists():
        n += 1
    return artifacts / f"{stem}-{n}"


def _check_folder(folder: Path) -> None:
    """Refuse a folder with other things in it; what a cut-off training left is taken up."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is no folder: name one that is new or empty")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held - {"metrics.jsonl", "checkpoints"}:
        raise UsageError(f"--out {folder} is not empty: name a folder that is new or empty")


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
