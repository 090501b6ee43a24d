"""The command that trains one configuration."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

from . import completion, values
from .data_options import (
    Categories,
    Columns,
    Drop,
    Header,
    Layer,
    Missing,
    MissingValue,
    Ordinal,
    Scale,
    Strict,
)
from .options import (
    DEFAULTS,
    METHOD,
    Artifacts,
    Data,
    Epochs,
    Fixed,
    Json,
    Labels,
    Preset,
    Progress,
    Quiet,
    Replicas,
    Restarts,
    Seed,
)
from .output import show, show_facts, show_json
from .viewing import told_once, viewed

if TYPE_CHECKING:
    from ..orchestration.locations import Locations
    from ..orchestration.progress import View
    from ..orchestration.train import TrainingResult
    from ..study.study import Study

OneMethod = Annotated[
    str,
    Option(
        "--method",
        "-m",
        metavar="METHOD",
        help="Method to train.",
        autocompletion=completion.method,
    ),
]
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
        autocompletion=completion.one_of(("cpu", "cuda")),
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
    preset: Preset = None,
    replicas: Replicas = DEFAULTS.replicas,
    restarts: Restarts = DEFAULTS.restarts,
    epochs: Epochs = None,
    seed: Seed = DEFAULTS.seed,
    out: Out = None,
    device: Device = None,
    artifacts: Artifacts = None,
    progress: Progress = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train one configuration on this machine, without a search."""
    from ..errors import UsageError
    from ..study.study import Study

    mode = values.progress(progress, quiet=quiet)
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
        restarts=restarts,
        epochs=epochs,
        seed=seed,
        fixed=values.fixed(fixed),
        preset=preset,
    )
    locations = values.locations(None, None, artifacts, used=())
    with told_once(mode), viewed(mode) as view:
        result = _trained(study, seed, locations, out, device, view)
    if json:
        show_json(result.to_mapping())
    else:
        _show_result(result)


def _trained(
    study: "Study",
    seed: int,
    locations: "Locations",
    out: str | None,
    device: str | None,
    view: "View",
) -> "TrainingResult":
    """Train the one configuration of a study and show how it goes."""
    from ..orchestration.progress.usage import watched_usage
    from ..orchestration.stages import READING
    from ..study.plan import prepare

    view.show(READING)
    plan = prepare(study)
    from ..orchestration import train as training
    from ..orchestration.locations import artifacts_at
    from ..orchestration.training_watch import TrainingWatch
    from ..training.pretraining_cache import CACHE_FOLDER

    folder = (
        training.free_folder(locations.artifacts, plan)
        if out is None
        else artifacts_at(out, flag="--out")
    )
    training.check_folder(folder)
    device = training.default_device() if device is None else device
    watch = TrainingWatch(plan, folder, view, device=device)
    with watched_usage(view.show, gpus=device != "cpu"):
        return training.train(
            plan,
            seed=seed,
            folder=folder,
            pretraining_cache=locations.artifacts / CACHE_FOLDER,
            device=device,
            watch=watch,
        )


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


def _show_result(result: "TrainingResult") -> None:
    from ..reports.words import audit_text, duration, restarts_text, settings_text

    facts = [
        ("method", f"{result.method} on {result.dataset}, {duration(result.seconds)}"),
        ("settings", settings_text(result.settings)),
    ]
    if result.restarts > 1:
        facts.append(("restarts", restarts_text(result.restarts, result.halved)))
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
