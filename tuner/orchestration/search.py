"""A search from its description to its champion: check, open the ledger, run trials, promote."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.formats import memory
from ..errors import (
    InterruptedSearchError,
    NoUsableTrialError,
    SyncError,
    UnclusteredError,
    UsageError,
)
from ..execution.connection import check_address
from ..ledger.ledger import Ledger
from ..ledger.storage import name_taken, names_in, open_storage
from ..redaction import redact
from ..study.record import SCHEMA
from ..study.result import Result
from ..study.study import Plan, Study, prepare, slug
from ..tracking import Tracker, check
from ..tracking.records import plan_tags, trial_run_record
from ..training.evaluations import read_evaluations
from .controller import SearchController
from .finalize import Finalizer
from .locations import Locations, trial_folder
from .plans import plan_of, search_spaces
from .signals import InterruptHandler
from .snapshot import ProgressCallback

if TYPE_CHECKING:
    from ..execution.cluster import Resources

_SYNC_SECONDS = 60.0
_DATA_FOLDER = ".data"  # of data that were given in memory
_INTERRUPTED_SYNC_SECONDS = 3.0
MessageCallback = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Session:
    """How to run and show a search; nothing in it changes what the search finds.

    With `allow_unclustered` the best model is registered even if the data show no clusters.
    """

    locations: Locations
    resources: "Resources"
    time_budget: float | None = None
    allow_unclustered: bool = False
    on_progress: ProgressCallback | None = None
    on_message: MessageCallback = print

    def check(self) -> None:
        """Raise unless the locations and the address of the cluster can be used."""
        self.locations.check()
        if self.resources.address is not None:
            check_address(self.resources.address)


def default_session() -> Session:
    """Return a session on this machine that shows no messages."""
    from ..execution.cluster import Resources

    return Session(locations=Locations(), resources=Resources(), on_message=lambda _: None)


def search(study: Study, session: Session | None = None) -> Result:
    """Run a study to its end and return what it found; the champion is in the registry."""
    session = default_session() if session is None else session
    plan = prepare(study)
    session.check()
    taken = names_in(open_storage(session.locations.storage))
    name = study.name or _unused_name(plan, taken)
    if name in taken:  # refused before anything is written to MLflow
        raise name_taken(name)
    plan = replace(plan, study=replace(plan.study, name=name))
    if not isinstance(study.dataset, str):
        plan = _with_stored_data(plan, session.locations.artifacts / _DATA_FOLDER)
    check(session.locations.tracking_uri)  # before the search exists in the ledger
    record = {
        "study": plan.study.to_mapping(),
        "identity": plan.identity(),
        "searched": search_spaces(plan),
        "trials": plan.study.trials,
        "schema": SCHEMA,
    }
    ledger = Ledger.create(session.locations.storage, name, record)
    for line in _summary_lines(plan, session.locations):
        session.on_message(line)
    return _clustered(_run(plan, ledger, open_tracker(plan, session.locations), session))


def resume(name: str, session: Session | None = None, *, trials: int | None = None) -> Result:
    """Continue a search where it stopped; `trials` may raise the number of its trials."""
    session = default_session() if session is None else session
    session.check()
    ledger = Ledger.load(session.locations.storage, name)
    plan = plan_of(ledger)
    trials = ledger.size if trials is None else trials
    if trials < ledger.size:
        raise UsageError(
            f"--trials {trials}: search {name!r} already has {ledger.size} trials, so give at "
            "least that many"
        )
    found = ledger.attribute("result")
    result = None if found is None else Result.from_mapping(found)
    refused = result is not None and result.is_unclustered and session.allow_unclustered
    if result is not None and trials == ledger.size and not refused:
        return _clustered(result)
    ledger.lease.acquire()  # before anything is written to MLflow
    try:
        if trials > ledger.size:
            # in this order, an interruption only repeats work and loses none
            ledger.set_attribute("result", None)
            ledger.set_attribute("finalists", {})
            ledger.resize(trials)
        tracking = open_tracker(plan, session.locations)
    except BaseException:
        ledger.close()
        raise
    return _clustered(_run(plan, ledger, tracking, session))


def _with_stored_data(plan: Plan, folder: Path) -> Plan:
    """Write data given in memory to a file, from which the search can be resumed."""
    study = plan.study
    path, labels = memory.save(study.dataset, study.labels, folder)
    return replace(plan, study=replace(study, dataset=str(path), labels=labels))


def _clustered(result: Result) -> Result:
    """Return a result, or raise UnclusteredError if nothing was registered."""
    if result.is_unclustered:
        raise UnclusteredError(f"search {result.search!r}: {result.notes[0]}", result)
    return result


def open_tracker(plan: Plan, locations: Locations) -> tuple[Tracker, str]:
    """Return a tracker for a search, and the id of its parent run, which it finds or creates."""
    study = plan.study
    tracker = Tracker(
        locations.tracking_uri, experiment=slug(plan.dataset.name), search=str(study.name)
    )
    params = {
        key: value if isinstance(value, int | float | str) else str(value)
        for key, value in study.to_mapping().items()
        if value not in (None, {}, [])
    }
    tags = plan_tags(plan, device="")
    return tracker, tracker.open(tags=tags, params=params, dataset=plan.dataset)


def log_all_trials(
    plan: Plan, ledger: Ledger, tracker: Tracker, locations: Locations, device: str
) -> None:
    """Log every trial that has ended to MLflow; the tracker skips what MLflow already has."""
    tags = plan_tags(plan, device=device)
    folder = locations.artifacts / ledger.name
    for trial in ledger.trials():
        if trial.state != "RUNNING":
            evaluations = read_evaluations(trial_folder(folder, trial.number))
            tracker.log(trial_run_record(plan, trial, evaluations, tags))


def _run(plan: Plan, ledger: Ledger, tracking: tuple[Tracker, str], session: Session) -> Result:
    """Run the trials and the end of a search, and close its ledger and tracker in any case."""
    tracker, _ = tracking
    interrupts = InterruptHandler()
    sync_seconds = _SYNC_SECONDS
    try:
        with interrupts.installed():
            result = _run_on_cluster(plan, ledger, tracking, session, interrupts)
    except NoUsableTrialError:
        tracker.finish(metrics={}, tags={}, status="FAILED")
        raise
    except KeyboardInterrupt:
        sync_seconds = _INTERRUPTED_SYNC_SECONDS
        tracker.finish(metrics={}, tags={}, status="KILLED")
        raise InterruptedSearchError(
            f"interrupted with {ledger.remaining()} of {ledger.size} trials to go: continue with "
            f"`tuner resume {ledger.name}`",
            interrupts.signum,
        ) from None
    finally:
        is_synced = tracker.close(sync_seconds)
        ledger.close()
    if not is_synced:
        raise SyncError(
            f"search {ledger.name!r} is complete, but MLflow has not received all of it: run "
            f"`tuner sync {ledger.name}` once {redact(session.locations.tracking_uri)} "
            "is reachable",
            result,
        )
    return result


def _run_on_cluster(
    plan: Plan,
    ledger: Ledger,
    tracking: tuple[Tracker, str],
    session: Session,
    interrupts: InterruptHandler,
) -> Result:
    from ..execution.cluster import Cluster

    tracker, parent_run = tracking
    locations = session.locations
    ledger.start(plan)
    with Cluster(session.resources, on_message=session.on_message) as cluster:
        interrupts.install()  # Ray has replaced the handlers
        locations.check_nodes(cluster.nodes)
        cluster.check_machines(locations.artifacts)
        cluster.put_data(plan.dataset, objective=plan.study.objective)
        controller = SearchController(
            plan,
            ledger,
            tracker,
            folder=locations.artifacts / ledger.name,
            device=cluster.device,
            on_progress=session.on_progress,
        )
        log_all_trials(plan, ledger, tracker, locations, cluster.device)
        with interrupts.closing(controller), _time_limit(controller, session.time_budget):
            cluster.run(controller)
        _check_trials(controller)
        finalizer = Finalizer(
            plan,
            ledger,
            tracker,
            locations,
            parent_run,
            session.on_message,
            allow_unclustered=session.allow_unclustered,
        )
        return finalizer.run(cluster, seconds=controller.snapshot().seconds)


def _check_trials(controller: SearchController) -> None:
    """Raise if the trials were aborted or interrupted, or if none of them is usable."""
    if controller.error is not None:
        raise controller.error
    if controller.close_reason == "interrupt":
        raise KeyboardInterrupt
    if controller.close_reason is not None:
        controller.end_remaining()
    if not controller.snapshot().best(1):
        why = controller.failure_detail or "every one failed, collapsed or was pruned"
        if controller.close_reason == "time budget":
            why = "the time budget ran out before any was scored"
        raise NoUsableTrialError(f"no trial of {controller.search!r} is usable: {why.strip()}")


@contextlib.contextmanager
def _time_limit(controller: SearchController, seconds: float | None) -> Iterator[None]:
    """Close the search after some seconds, never if None."""
    timer = threading.Timer(seconds or 0.0, controller.close, ["time budget"])
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _summary_lines(plan: Plan, locations: Locations) -> list[str]:
    study, data = plan.study, plan.dataset
    return [
        f"search {study.name}: {', '.join(study.methods)} on {data.name} ({len(data.train):,} + "
        f"{len(data.test):,} points), {study.trials} trials of {study.replicas} replicas",
        f"data: {data.description}",
        f"ledger {redact(locations.storage)}, MLflow {redact(locations.tracking_uri)}, files "
        f"{locations.artifacts / str(study.name)}",
        *(f"note: {note}" for note in data.notes),
        *(f"warning: {warning}" for warning in data.warnings),
    ]


def _unused_name(plan: Plan, taken: Collection[str]) -> str:
    """Return METHOD-DATA-n with the first n that makes it unused."""
    methods = plan.study.methods
    first = methods[0] if len(methods) == 1 else "several"
    stem = f"{first}-{slug(plan.dataset.name)}"
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
