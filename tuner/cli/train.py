"""The command that trains one configuration."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

from typer import Option

from . import values
from .options import (
    DEFAULTS,
    METHOD,
    Artifacts,
    Categories,
    Columns,
    Data,
    Drop,
    Epochs,
    Fixed,
    Header,
    Json,
    Labels,
    Layer,
    Missing,
    MissingValue,
    Ordinal,
    Replicas,
    Scale,
    Seed,
    Strict,
)
from .output import log, show, show_facts, show_json

if TYPE_CHECKING:
    from ..orchestration.train import TrainingResult
    from ..training.evaluations import Evaluation

OneMethod = Annotated[str, Option("--method", "-m", metavar="METHOD", help="Method to train.")]
Out = Annotated[
    str | None,
    Option(
        "--out",
        metavar="FOLDER",
        help="Output folder; an interrupted training in it is resumed.",
        show_default="./tuner-artifacts/train-METHOD-DATA-n",
    ),
]
Device = Annotated[
    str | None,
    Option(
        "--device",
        metavar="cpu|cuda",
        help="Device to train on.",
        show_default="cuda if available",
    ),
]


def train(
    method: OneMethod = METHOD,
    dataset: Data = DEFAULTS.dataset,
    labels: Labels = None,
    columns: Columns = None,
    drop: Drop = None,
    categories: Categories = None,
    ordinal: Ordinal = None,
    missing: Missing = DEFAULTS.preparation.missing,
    missing_value: MissingValue = None,
    scale: Scale = DEFAULTS.preparation.scale,
    layer: Layer = None,
    header: Header = None,
    strict: Strict = False,
    fixed: Fixed = None,
    replicas: Replicas = DEFAULTS.replicas,
    epochs: Epochs = None,
    seed: Seed = DEFAULTS.seed,
    out: Out = None,
    device: Device = None,
    artifacts: Artifacts = None,
    json: Json = False,
) -> None:
    """Train one configuration on this machine, without a search."""
    from ..errors import UsageError
    from ..study.plan import prepare
    from ..study.study import Study

    _check_device(device)
    names = values.methods(method)
    if len(names) != 1 or names == ("all",):
        raise UsageError(f"--method {method!r}: give one method, or use tuner search for several")
    study = Study(
        methods=names,
        dataset=dataset,
        labels=labels,
        preparation=values.preparation(
            columns,
            drop,
            categories,
            ordinal,
            missing,
            missing_value,
            scale,
            layer,
            header,
            strict,
        ),
        trials=1,
        replicas=replicas,
        epochs=epochs,
        seed=seed,
        fixed=values.fixed(fixed),
    )
    locations = values.locations(None, None, artifacts, used=())
    plan = prepare(study)
    from ..orchestration import train as training
    from ..orchestration.locations import artifacts_at
    from ..training.pretraining_cache import CACHE_FOLDER

    folder = (
        training.free_folder(locations.artifacts, plan)
        if out is None
        else artifacts_at(out, flag="--out")
    )
    training.check_folder(folder)
    log(f"data: {plan.dataset.description}")
    for note in plan.dataset.notes:
        log(f"note: {note}")
    for warning in plan.dataset.warnings:
        log(f"warning: {warning}")
    log(f"training {method} on {plan.dataset.name} with {replicas} replicas in {folder}")
    with redirect_stdout(sys.stderr):
        result = training.train(
            plan,
            seed=seed,
            folder=folder,
            pretraining_cache=locations.artifacts / CACHE_FOLDER,
            device=device,
            watch=_show_evaluation,
        )
    if json:
        show_json(result.to_mapping())
    else:
        _show_result(result)


def _check_device(device: str | None) -> None:
    from ..errors import ResourceError, UsageError

    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device {device!r}: choose cpu or cuda")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ResourceError(
                "--device cuda: torch finds no GPU on this machine: use --device cpu"
            )


def _show_evaluation(evaluation: "Evaluation") -> None:
    score = "no clusters yet" if evaluation.value is None else f"score {evaluation.value:.3f}"
    figures = [
        f"{name.split('/')[-1]} {evaluation.metrics[name]:.4g}"
        for name in ("train/loss", "score/clusters_in_use", "audit/hungarian")
        if name in evaluation.metrics
    ]
    spread = f" ± {evaluation.sd:.3f}" if evaluation.value is not None and evaluation.sd else ""
    progress = f"epoch {evaluation.epoch}/{evaluation.passes}, {evaluation.stage}"
    log(f"{progress}: {', '.join([score + spread, *figures])}")


def _show_result(result: "TrainingResult") -> None:
    from ..reports.words import audit_text, duration, settings_text

    facts = [
        ("method", f"{result.method} on {result.dataset}, {duration(result.seconds)}"),
        ("settings", settings_text(result.settings)),
    ]
    for r, seed in enumerate(result.seeds):
        best = ", best" if r == result.best and len(result.seeds) > 1 else ""
        scores = f"score {result.values[r]:.3f}, on the test split {result.scores[r]:.3f}"
        facts.append((f"replica {r}", f"seed {seed}: {scores}{best}"))
        if result.audits:
            facts.append(("", f"audit: {audit_text(result.audits[r])}"))
    facts += [("note", note) for note in result.notes]
    show_facts([*facts, ("model", result.model), ("pictures", result.pictures)])
    show("")
    show(f"next\n  tuner predict {result.model} FILE")
