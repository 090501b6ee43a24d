"""The commands that run, resume, show and sync searches."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

from typer import Option

from . import values
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
    SWITCH,
    Address,
    AnySearch,
    Artifacts,
    Budget,
    Cpus,
    Data,
    Epochs,
    Finalists,
    FinalistSeeds,
    Fixed,
    Gpus,
    Json,
    Labels,
    Methods,
    Name,
    Objective,
    OneSearch,
    Preset,
    Progress,
    Quiet,
    Register,
    Replicas,
    Restarts,
    Sampler,
    Scheduler,
    Seed,
    Spaces,
    Storage,
    Timeout,
    Tracking,
    Trials,
    UseLabels,
    Workers,
)
from .output import log, show, show_json
from .viewing import told_once, viewed

if TYPE_CHECKING:
    from ..execution.cluster import Resources
    from ..orchestration.locations import Locations
    from ..orchestration.result import Result
    from ..orchestration.session import Session
    from ..study.study import Study

DryRun = Annotated[
    bool,
    Option(
        "--dry-run",
        metavar=SWITCH,
        help="Check the options and print the plan, without writing anything.",
    ),
]
AllowUnclustered = Annotated[
    bool,
    Option(
        "--allow-unclustered",
        metavar=SWITCH,
        help="Register the best model even if the data show no clusters.",
    ),
]
MoreTrials = Annotated[
    int | None,
    Option("--trials", "-n", metavar="N", help="New total number of trials, to add more."),
]


def search(
    method: Methods = METHOD,
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
    space: Spaces = None,
    trials: Trials = DEFAULTS.trials,
    replicas: Replicas = DEFAULTS.replicas,
    restarts: Restarts = DEFAULTS.restarts,
    finalists: Finalists = DEFAULTS.finalists,
    finalist_seeds: FinalistSeeds = DEFAULTS.finalist_seeds,
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
    trial_timeout: Timeout = None,
    name: Name = None,
    register: Register = None,
    address: Address = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    allow_unclustered: AllowUnclustered = False,
    dry_run: DryRun = False,
    progress: Progress = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Search for the best model of a dataset and register it.

    Without options, search gmvae on the scikit-learn digits on this machine.
    Options override environment variables, which override tuner.toml or pyproject.toml.
    """
    from ..study.study import Study

    mode = values.progress(progress, quiet=quiet)
    names = values.methods(method)
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
        trials=trials,
        replicas=replicas,
        restarts=restarts,
        finalists=finalists,
        finalist_seeds=finalist_seeds,
        epochs=epochs,
        objective=objective,
        use_labels=use_labels,
        sampler=sampler,
        scheduler=scheduler,
        seed=seed,
        fixed=values.fixed(fixed),
        preset=preset,
        spaces=values.spaces(space, names),
        name=name,
        register=register,
    )
    limit = values.seconds(budget)
    locations = values.locations(storage, tracking, artifacts)
    resources = values.resources(address, workers, cpus, gpus, trial_timeout)
    if dry_run:
        _show_plan(study, locations, resources, json=json)
    else:
        session = _session(locations, resources, limit, allow_unclustered)
        _run(study, session, mode=mode, json=json)


def resume(
    name: OneSearch,
    trials: MoreTrials = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    budget: Budget = None,
    trial_timeout: Timeout = None,
    address: Address = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
    allow_unclustered: AllowUnclustered = False,
    progress: Progress = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Resume a search, or extend it with more trials."""
    from ..ledger.ledger import Ledger

    mode = values.progress(progress, quiet=quiet)
    limit = values.seconds(budget)
    locations = values.locations(storage, tracking, artifacts)
    Ledger.load(locations.storage, name).close()  # fails fast, before Ray is imported
    resources = values.resources(address, workers, cpus, gpus, trial_timeout)
    session = _session(locations, resources, limit, allow_unclustered)
    _run(name, session, trials=trials, mode=mode, json=json)


def status(name: AnySearch = None, storage: Storage = None, json: Json = False) -> None:
    """Show the status of a search, or list all searches."""
    from ..ledger.storage import search_names
    from ..orchestration.status import load_status
    from . import report

    database = values.locations(storage, None, None, used=("storage",)).storage
    searches = search_names(database) if name is None else [name]
    statuses = [load_status(database, search) for search in searches]
    if json:
        documents = [status.to_mapping() for status in statuses]
        show_json(documents if name is None else documents[0])
    elif name is not None:
        report.show_status(statuses[0])
    elif statuses:
        report.show_statuses(statuses)
    else:
        log("no searches yet: start one with `tuner search`")


def sync(
    name: OneSearch,
    storage: Storage = None,
    artifacts: Artifacts = None,
    tracking: Tracking = None,
) -> None:
    """Send all records of a search to MLflow again (safe to repeat)."""
    from ..orchestration.sync import sync as sync_runs

    with redirect_stdout(sys.stderr):
        done = sync_runs(name, values.locations(storage, tracking, artifacts))
    for fault in done.faults:
        log(f"note: {fault}")
    if done.lost:
        log(f"note: {', '.join(done.lost)}: files are gone for good, and not asked for again")
    doubles = f", {done.doubles} double ones deleted" if done.doubles else ""
    show(f"{name}: MLflow has all {done.runs} runs{doubles}")


def _session(
    locations: "Locations", resources: "Resources", limit: float | None, allow_unclustered: bool
) -> "Session":
    from ..orchestration.session import Session

    return Session(
        locations=locations,
        resources=resources,
        time_budget=limit,
        allow_unclustered=allow_unclustered,
    )


def _run(
    study_or_name: "Study | str",
    session: "Session",
    *,
    trials: int | None = None,
    mode: str,
    json: bool,
) -> None:
    """Run or resume a search and show its result, even if MLflow or a champion is missing."""
    from ..errors import InterruptedSearchError, SyncError, UnclusteredError
    from ..orchestration.result import Result

    with told_once(mode):
        try:
            result = _run_with_view(study_or_name, session, trials, mode)
        except InterruptedSearchError as error:
            if mode not in ("json", "quiet"):
                _log_status(error.search, session)
            raise
        except (SyncError, UnclusteredError) as error:
            if isinstance(error.result, Result):
                _show_result(error.result, json=json)
            raise
    _show_result(result, json=json)


def _run_with_view(
    study_or_name: "Study | str", session: "Session", trials: int | None, mode: str
) -> "Result":
    """Run or resume a search; its progress and what libraries print go to stderr."""
    from ..orchestration.search import resume as resume_search
    from ..orchestration.search import search as start_search

    with viewed(mode) as progress:
        session = session.shown_by(progress)
        if isinstance(study_or_name, str):
            return resume_search(study_or_name, session, trials=trials)
        return start_search(study_or_name, session)


def _log_status(name: str, session: "Session") -> None:
    """Show on stderr what a search has found until it was interrupted."""
    from ..orchestration.status import load_status
    from . import report

    with redirect_stdout(sys.stderr):
        report.show_status(load_status(session.locations.storage, name))


def _show_plan(
    study: "Study", locations: "Locations", resources: "Resources", *, json: bool
) -> None:
    from ..ledger.storage import name_taken, search_names
    from ..study.plan import prepare
    from . import report

    plan = prepare(study)
    taken = search_names(locations.storage)
    if study.name in taken:
        raise name_taken(study.name)
    report.show_plan(plan, locations, resources, json=json)


def _show_result(result: "Result", *, json: bool) -> None:
    from ..redaction import redact
    from . import report

    if json:
        show_json({**result.to_mapping(), "tracking_uri": redact(result.tracking_uri)})
    else:
        report.show_result(result)
