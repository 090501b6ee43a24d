"""The commands that begin, go on with, show and replay searches."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from . import values
from .options import (
    DEFAULTS,
    METHOD,
    SWITCH,
    Address,
    Artifacts,
    Budget,
    Cpus,
    Data,
    Epochs,
    Fixed,
    Gpus,
    Json,
    Labels,
    Methods,
    Name,
    Objective,
    Register,
    Replicas,
    Sampler,
    Scheduler,
    Seed,
    Spaces,
    Storage,
    Tracking,
    Trials,
    UseLabels,
    Workers,
)
from .output import say, show, show_json

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..orchestration.locations import Place
    from ..study.result import Result
    from ..study.study import Study

DryRun = Annotated[
    bool,
    Option(
        "--dry-run",
        metavar=SWITCH,
        help="Check everything, print what would run, write nothing.",
    ),
]
More = Annotated[
    int | None,
    Option("--trials", "-n", metavar="N", help="Trials in all, where more are wanted."),
]
Search = Annotated[str, Argument(metavar="NAME", help="Name of a search.", show_default=False)]
AnySearch = Annotated[
    str | None, Argument(metavar="[NAME]", help="Name of a search.", show_default=False)
]


def search(
    method: Methods = METHOD,
    dataset: Data = DEFAULTS.dataset,
    labels: Labels = None,
    fixed: Fixed = None,
    space: Spaces = None,
    trials: Trials = DEFAULTS.trials,
    replicas: Replicas = DEFAULTS.replicas,
    epochs: Epochs = None,
    seed: Seed = DEFAULTS.seed,
    objective: Objective = DEFAULTS.objective,
    use_labels: UseLabels = False,
    sampler: Sampler = DEFAULTS.sampler,
    scheduler: Scheduler = DEFAULTS.scheduler,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    budget: Budget = None,
    name: Name = None,
    register: Register = None,
    address: Address = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Find the best clusterer of a data set and register it.

    Without any flag: gmvae on the digits of scikit-learn, on this machine.
    A flag wins over a variable, a variable over tuner.toml or pyproject.toml.
    """
    from ..study.study import Study

    names = values.methods(method)
    study = Study(
        methods=names,
        dataset=dataset,
        labels=labels,
        trials=trials,
        replicas=replicas,
        epochs=epochs,
        objective=objective,
        use_labels=use_labels,
        sampler=sampler,
        scheduler=scheduler,
        seed=seed,
        fixed=values.fixed(fixed),
        spaces=values.spaces(space, names),
        name=name,
        register=register,
    )
    limit = values.seconds(budget)
    place = values.place(storage, tracking, artifacts)
    if dry_run:
        _rehearse(study, place, values.resources(address, workers, cpus, gpus), json=json)
        return
    resources = values.resources(address, workers, cpus, gpus)
    _run(study, place, resources, limit, json=json)


def resume(
    name: Search,
    trials: More = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    budget: Budget = None,
    address: Address = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    json: Json = False,
) -> None:
    """Go on with a search, or make it longer."""
    from ..orchestration.status import opened

    limit = values.seconds(budget)
    place = values.place(storage, tracking, artifacts)
    opened(name, place.storage)
    resources = values.resources(address, workers, cpus, gpus)
    _run(name, place, resources, limit, trials=trials, json=json)


def status(name: AnySearch = None, storage: Storage = None, json: Json = False) -> None:
    """Show how a search stands, even while it runs; or list all."""
    from ..orchestration import status as overview
    from . import report

    database = values.place(storage, None, None).storage
    wanted = overview.names(database) if name is None else [name]
    found = [overview.overview(overview.opened(one, database)) for one in wanted]
    if json:
        listed = [one.to_mapping() for one in found]
        show_json(listed if name is None else listed[0])
    elif name is not None:
        report.show_overview(found[0])
    elif found:
        report.show_overviews(found)
    else:
        say("no search yet: begin one with `tuner search`")


def sync(
    name: Search,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
) -> None:
    """Tell MLflow again what the ledger knows; repeating it is harmless."""
    from ..orchestration.sync import replay

    with redirect_stdout(sys.stderr):
        count = replay(name, values.place(storage, tracking, artifacts))
    show(f"{name}: MLflow has all {count} runs")


def _run(
    what: "Study | str",
    place: "Place",
    resources: "Resources",
    limit: float | None,
    *,
    trials: int | None = None,
    json: bool,
) -> None:
    """Search or resume and report what was found, also where tracking has not heard all of it."""
    from ..errors import SyncError

    try:
        result = _found(what, place, resources, limit, trials)
    except SyncError as error:
        if error.result is not None:
            _report(error.result, json=json)
        raise
    _report(result, json=json)


def _found(
    what: "Study | str",
    place: "Place",
    resources: "Resources",
    limit: float | None,
    trials: int | None,
) -> "Result":
    """Search or resume, with a view of it on stderr; what libraries print goes there, too."""
    from ..orchestration.search import Session
    from ..orchestration.search import resume as go_on
    from ..orchestration.search import search as begin
    from .progress import view

    with redirect_stdout(sys.stderr), view(sys.stderr) as shown:
        session = Session(
            place=place,
            resources=resources,
            time_budget=limit,
            watch=shown.watch,
            say=shown.say,
        )
        if isinstance(what, str):
            return go_on(what, session, trials=trials)
        return begin(what, session)


def _rehearse(study: "Study", place: "Place", resources: "Resources", *, json: bool) -> None:
    from ..errors import UsageError
    from ..orchestration import status as overview
    from ..study.study import prepare
    from . import report

    plan = prepare(study)
    taken = overview.names(place.storage)
    if study.name in taken:
        raise UsageError(
            f"a search named {study.name!r} exists: go on with `tuner resume {study.name}`, "
            "or choose another --name"
        )
    report.show_plan(plan, place, resources, json=json)


def _report(result: "Result", *, json: bool) -> None:
    from ..redaction import redact
    from . import report

    if json:
        show_json({**result.to_mapping(), "tracking_uri": redact(result.tracking_uri)})
    else:
        report.show_result(result)
