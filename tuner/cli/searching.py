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
    from ..orchestration.locations import Locations
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
    locations = values.locations(storage, tracking, artifacts)
    if dry_run:
        _rehearse(study, locations, values.resources(address, workers, cpus, gpus), json=json)
        return
    resources = values.resources(address, workers, cpus, gpus)
    _run(study, locations, resources, limit, json=json)


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
    from ..ledger.ledger import Ledger

    limit = values.seconds(budget)
    locations = values.locations(storage, tracking, artifacts)
    Ledger.load(locations.storage, name)  # before Ray is imported
    resources = values.resources(address, workers, cpus, gpus)
    _run(name, locations, resources, limit, trials=trials, json=json)


def status(name: AnySearch = None, storage: Storage = None, json: Json = False) -> None:
    """Show how a search stands, even while it runs; or list all."""
    from ..ledger.ledger import Ledger
    from ..ledger.storage import search_names
    from ..orchestration.status import status_of
    from . import report

    database = values.locations(storage, None, None).storage
    wanted = search_names(database) if name is None else [name]
    found = [status_of(Ledger.load(database, one)) for one in wanted]
    if json:
        listed = [one.to_mapping() for one in found]
        show_json(listed if name is None else listed[0])
    elif name is not None:
        report.show_status(found[0])
    elif found:
        report.show_statuses(found)
    else:
        say("no search yet: begin one with `tuner search`")


def sync(
    name: Search,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
) -> None:
    """Tell MLflow again what the ledger knows; repeating it is harmless."""
    from ..orchestration.sync import sync as sync_runs

    with redirect_stdout(sys.stderr):
        count = sync_runs(name, values.locations(storage, tracking, artifacts))
    show(f"{name}: MLflow has all {count} runs")


def _run(
    what: "Study | str",
    locations: "Locations",
    resources: "Resources",
    limit: float | None,
    *,
    trials: int | None = None,
    json: bool,
) -> None:
    """Search or resume and report what was found, also where tracking has not heard all of it."""
    from ..errors import SyncError
    from ..study.result import Result

    try:
        result = _found(what, locations, resources, limit, trials)
    except SyncError as error:
        if isinstance(error.result, Result):
            _report(error.result, json=json)
        raise
    _report(result, json=json)


def _found(
    what: "Study | str",
    locations: "Locations",
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
            locations=locations,
            resources=resources,
            time_budget=limit,
            on_progress=shown.watch,
            on_message=shown.say,
        )
        if isinstance(what, str):
            return go_on(what, session, trials=trials)
        return begin(what, session)


def _rehearse(
    study: "Study", locations: "Locations", resources: "Resources", *, json: bool
) -> None:
    from ..ledger.storage import name_taken, search_names
    from ..study.study import prepare
    from . import report

    plan = prepare(study)
    taken = search_names(locations.storage)
    if study.name in taken:
        raise name_taken(study.name)
    report.show_plan(plan, locations, resources, json=json)


def _report(result: "Result", *, json: bool) -> None:
    from ..redaction import redact
    from . import report

    if json:
        show_json({**result.to_mapping(), "tracking_uri": redact(result.tracking_uri)})
    else:
        report.show_result(result)
