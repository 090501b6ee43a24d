"""The command that trains one configuration."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from . import values
from .options import DEFAULTS, METHOD, Artifacts, Data, Epochs, Fixed, Json, Labels, Replicas, Seed
from .output import say, show, show_facts, show_json

if TYPE_CHECKING:
    from ..orchestration.train import TrainingResult
    from ..training.evaluations import Evaluation

OneMethod = Annotated[str, Option("--method", "-m", metavar="NAME", help="Method to train.")]
Out = Annotated[
    Path | None,
    Option(
        "--out",
        metavar="FOLDER",
        help="Where the models go; a cut-off training goes on there.",
        show_default="./tuner-artifacts/train-METHOD-DATA-n",
    ),
]
Device = Annotated[
    str | None,
    Option("--device", metavar="cpu|cuda", help="Where to train.", show_default="cuda if any"),
]


def train(
    method: OneMethod = METHOD,
    dataset: Data = DEFAULTS.dataset,
    labels: Labels = None,
    fixed: Fixed = None,
    replicas: Replicas = DEFAULTS.replicas,
    epochs: Epochs = None,
    seed: Seed = DEFAULTS.seed,
    out: Out = None,
    device: Device = None,
    artifacts: Artifacts = None,
    json: Json = False,
) -> None:
    """Train one configuration here, without a search."""
    from ..errors import UsageError
    from ..study.study import Study, prepare

    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device {device!r}: choose cpu or cuda")
    names = values.methods(method)
    if len(names) != 1 or names == ("all",):
        raise UsageError(f"--method {method!r}: train takes one method, tuner search several")
    study = Study(
        methods=names,
        dataset=dataset,
        labels=labels,
        trials=1,
        replicas=replicas,
        epochs=epochs,
        seed=seed,
        fixed=values.fixed(fixed),
    )
    plan = prepare(study)
    from ..orchestration import train as training
    from ..training.pretraining_cache import CACHE_FOLDER

    locations = values.locations(None, None, artifacts)
    folder = training.free_folder(locations.artifacts, plan) if out is None else out.resolve()
    pretraining_cache = locations.artifacts / CACHE_FOLDER
    say(f"training {method} on {plan.dataset.name}, {replicas} replicas; files {folder}")
    with redirect_stdout(sys.stderr):
        trained = training.train(
            plan,
            seed=seed,
            folder=folder,
            pretraining_cache=pretraining_cache,
            device=device,
            watch=_watch,
        )
    if json:
        show_json(trained.to_mapping())
    else:
        _show(trained)


def _watch(evaluation: "Evaluation") -> None:
    score = "no clusters yet" if evaluation.value is None else f"score {evaluation.value:.3f}"
    figures = [
        f"{name.split('/')[-1]} {evaluation.metrics[name]:.4g}"
        for name in ("train/loss", "score/clusters_in_use", "audit/hungarian")
        if name in evaluation.metrics
    ]
    spread = f" ± {evaluation.sd:.3f}" if evaluation.value is not None and evaluation.sd else ""
    at = f"pass {evaluation.epoch}/{evaluation.passes}, {evaluation.stage}"
    say(f"{at}: {', '.join([score + spread, *figures])}")


def _show(trained: "TrainingResult") -> None:
    from .progress import duration
    from .report import audited, settings

    facts = [
        ("method", f"{trained.method} on {trained.dataset}, {duration(trained.seconds)}"),
        ("settings", settings(trained.settings)),
    ]
    for r, seed in enumerate(trained.seeds):
        best = ", best" if r == trained.best and len(trained.seeds) > 1 else ""
        told = f"score {trained.values[r]:.3f}, on the test split {trained.scores[r]:.3f}"
        facts.append((f"replica {r}", f"seed {seed}: {told}{best}"))
        if trained.audits:
            facts.append(("", f"audit: {audited(trained.audits[r])}"))
    facts += [("note", note) for note in trained.notes]
    show_facts([*facts, ("model", trained.model), ("pictures", trained.pictures)])
    show("")
    show(f"next\n  tuner predict {trained.model} FILE")
