"""A search from its description to its champion: check, open the ledger, run trials, promote."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import (
    DiskError,
    InterruptedSearchError,
    NoUsableTrialError,
    ServiceError,
    SyncError,
    UnclusteredError,
    UsageError,
)
from ..interrupts import InterruptHandler
from ..ledger.ledger import Ledger
from ..ledger.storage import name_taken, names_in, opened
from ..redaction import redact
from ..study.plan import Plan, prepare
from ..study.study import Study
from ..tracking import Tracker, check
from .controller import SearchController
from .creation import created, summary_lines, with_stored_data
from .finalize import Finalizer
from .locations import Locations
from .plans import DATA_FOLDER, plan_of
from .progress.usage import watched_usage
from .projection import open_tracker, run_records
from .registration import is_settled, settled
from .result import Result
from .search_report import report_file
from .session import Session, watched
from .snapshot import TrialCallback
from .stages import READING, SENDING, TRIALS, connecting_stage, started

_SYNC_SECONDS = 60.0
_INTERRUPTED_SYNC_SECONDS = 3.0


def search(
    study: Study,
    session: Session | None = None,
    *,
    preset: str | None = None,
    callbacks: Sequence[TrialCallback] = (),
    progress: bool | str | None = None,
) -> Result:
    """Run a study to its end and return what it found; the champion is in the registry.

    Parameters
    ----------
    study
        What is searched.
    session
        Where and how it runs, by default on this machine with the places of the command line.
    preset
        The name of the presets to begin with, in place of those that the study names.
    callbacks
        Each is called with every trial that ends; what it raises ends the search.
    progress
        Whether to show the trials while they run, on stderr or below the cell of a notebook; by
        default wherever somebody can watch. The modes of the command line choose how: `auto`,
        `live`, `plain`, `json` or `quiet`.

    Returns
    -------
    Result
        What was found, with the registered champion.

    Raises
    ------
    UnclusteredError
        If the data show no clusters. It holds the result.
    SyncError
        If MLflow did not receive everything. It holds the result.
    TunerError
        Another one; it has the command that goes on where the search can be resumed.

    Examples
    --------
    >>> import tuner
    >>> from sklearn.datasets import make_blobs
    >>> x, y = make_blobs(200, centers=3, cluster_std=0.5, random_state=1)
    >>> study = tuner.Study(
    ...     methods=("gmm",),
    ...     dataset=x,
    ...     trials=5,
    ...     fixed={"n_components": 3},
    ...     name="blobs",
    ... )
    >>> result = tuner.search(study)
    >>> result.counts
    {'total': 5, 'complete': 5, 'pruned': 0, 'failed': 0}
    """
    if preset is not None:
        study = replace(study, preset=preset)
    with watched(session, callbacks, progress) as session:
        return _search(study, session)


def _search(study: Study, session: Session) -> Result:
    interrupts = InterruptHandler()
    with interrupts.installed():
        session.on_event(READING)
        plan = prepare(study)
        session.check()
        with opened(session.locations.storage) as storage:
            taken = names_in(storage)
        if study.name in taken:  # refused before anything is written to MLflow
            raise name_taken(str(study.name))
        if not isinstance(study.dataset, str):
            plan = with_stored_data(plan, session.locations.artifacts / DATA_FOLDER)
        check(session.locations.tracking_uri)  # before the search exists in the ledger
        plan, ledger = created(plan, taken, session.locations)
        for line in summary_lines(plan, session.locations):
            session.on_message(line)
        session.on_event(started(plan, session.locations))
        return _clustered(_drive(plan, ledger, session, interrupts), session.locations)


def resume(
    name: str,
    session: Session | None = None,
    *,
    trials: int | None = None,
    callbacks: Sequence[TrialCallback] = (),
    progress: bool | str | None = None,
) -> Result:
    """Continue a search where it stopped; one that has ended returns its result.

    One that ended with fewer trials than it was asked for goes on to all of them.

    Parameters
    ----------
    name
        The name of the search.
    trials
        A new total number of trials, to add more.
    session
        Where and how it runs.
    callbacks
        Each is called with every trial that ends from now on.
    progress
        As in `tuner.search`, which also has the errors.

    Returns
    -------
    Result
        What was found.

    Examples
    --------
    >>> import tuner
    >>> tuner.resume("blobs").counts["total"]
    5
    """
    with watched(session, callbacks, progress) as session:
        return _resume(name, session, trials)


def _resume(name: str, session: Session, trials: int | None) -> Result:
    interrupts = InterruptHandler()
    with interrupts.installed():
        session.check()
        ledger = Ledger.load(session.locations.storage, name)
        session.on_event(READING)
        plan = plan_of(ledger)
        trials = _checked_size(ledger, trials)
        replace(plan.study, trials=trials)  # raises for more than a search may have
        found = ledger.attribute("result")
        result = None if found is None else Result.from_mapping(found)
        refused = result is not None and result.is_unclustered and session.allow_unclustered
        if result is not None and trials == ledger.size and not refused:
            result = _settled(plan, ledger, result, session)
            return _clustered(result, session.locations)
        if trials > ledger.size:
            _grow(ledger, trials)
        session.on_event(started(plan, session.locations))
        return _clustered(_drive(plan, ledger, session, interrupts), session.locations)


def _checked_size(ledger: Ledger, trials: int | None) -> int:
    if trials is None:
        cut = ledger.ended_early
        return ledger.size if cut is None else cut.asked
    if trials < ledger.size:
        raise UsageError(
            f"--trials {trials}: search {ledger.name!r} already has {ledger.size} trials, so give "
            "at least that many"
        )
    return trials


def _grow(ledger: Ledger, trials: int) -> None:
    """Raise the number of trials, with finalists and a result still to come."""
    ledger.acquire_lease()
    try:
        # in this order, an interruption only repeats work and loses none
        ledger.set_attribute("result", None)
        ledger.set_attribute("finalists", {})
        ledger.resize(trials)
    except BaseException:
        ledger.close()
        raise


def _settled(plan: Plan, ledger: Ledger, result: Result, session: Session) -> Result:
    """Return the result of a search that has ended, registered again if MLflow lost its model."""
    with ledger:
        try:
            if is_settled(result, session.locations):
                return result
            ledger.acquire_lease()
            result, faults = settled(plan, ledger, result, session.locations)
        except ServiceError as error:
            result, faults = replace(result, pending=str(error)), []
    for fault in faults:
        session.on_message(fault)
    return _synced(result, session.locations, is_synced=True)


def _clustered(result: Result, locations: Locations) -> Result:
    """Return a result to the user, or raise UnclusteredError if nothing was registered."""
    result = result.located(locations)
    if result.is_unclustered:
        raise UnclusteredError(f"search {result.search!r}: {result.notes[0]}", result)
    return result


def _drive(plan: Plan, ledger: Ledger, session: Session, interrupts: InterruptHandler) -> Result:
    """Run the trials and the end of a search, and close its ledger and tracker in any case."""
    tracker: Tracker | None = None
    sync_seconds, is_synced = _SYNC_SECONDS, True
    try:
        ledger.acquire_lease()
        tracker, parent_run = _opened(plan, ledger, session.locations)
        result = _run_on_cluster(plan, ledger, (tracker, parent_run), session, interrupts)
    except NoUsableTrialError:
        if tracker is not None:
            report, _ = report_file(ledger, None, session.locations.artifacts / ledger.name)
            tracker.finish(metrics={}, tags={}, report=report, status="FAILED")
        raise
    except (ServiceError, DiskError):  # nothing can be written without the lease
        sync_seconds = _INTERRUPTED_SYNC_SECONDS
        raise
    except KeyboardInterrupt:
        sync_seconds = _INTERRUPTED_SYNC_SECONDS
        if tracker is not None:
            tracker.finish(metrics={}, tags={}, status="KILLED")
        raise InterruptedSearchError(
            f"interrupted with {ledger.remaining()} of {ledger.size} trials to go: continue with "
            f"`tuner resume {ledger.name}`",
            interrupts.signum,
            search=ledger.name,
        ) from None
    finally:
        if tracker is not None:
            session.on_event(SENDING)
            is_synced = tracker.close(sync_seconds)
        ledger.close()
    return _synced(result, session.locations, is_synced=is_synced)


def _opened(plan: Plan, ledger: Ledger, locations: Locations) -> tuple[Tracker, str]:
    try:
        return open_tracker(plan.outline, ledger, locations)
    except ServiceError as error:
        raise ServiceError(
            f"{error}; search {ledger.name!r} has begun: continue it with "
            f"`tuner resume {ledger.name}`"
        ) from None


def _synced(result: Result, locations: Locations, *, is_synced: bool) -> Result:
    """Return a result, or raise SyncError where MLflow does not have all of it."""
    if is_synced and result.pending is None:
        return result
    missing = "all of it" if result.pending is None else "its model"
    why = "" if result.pending is None else f" ({result.pending})"
    raise SyncError(
        f"search {result.search!r} is complete, but MLflow has not received {missing}{why}: run "
        f"`tuner sync {result.search}` once {redact(locations.tracking_uri)} is reachable",
        result,
    )


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
    session.on_event(connecting_stage(session.resources.address))
    with Cluster(session.resources, on_message=session.on_message) as cluster:
        locations.check_nodes(cluster.nodes)
        cluster.check_machines(locations.artifacts)
        cluster.put_data(plan.dataset, objective=plan.study.objective)
        controller = SearchController(
            plan,
            ledger,
            tracker,
            folder=locations.artifacts / ledger.name,
            device=cluster.device,
            workers=cluster.workers,
            trial_timeout=session.resources.trial_timeout,
            time_budget=session.time_budget,
            on_progress=session.on_progress,
            callbacks=session.callbacks,
        )
        for record in run_records(plan.outline, ledger, locations.artifacts / ledger.name):
            tracker.log(record)
        watched_machines = watched_usage(
            session.on_event, gpus=cluster.device == "cuda", in_use=cluster.in_use
        )
        closing = interrupts.closing(controller.close)
        with watched_machines:
            session.on_event(TRIALS)
            with closing, _time_limit(controller, session.time_budget):
                cluster.run(controller)
            _check_trials(controller)
            if controller.failures.summary:
                session.on_message(controller.failures.summary)
            finalizer = Finalizer(plan, ledger, tracker, session, parent_run)
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
        why = controller.failures.summary or "every one collapsed or was pruned"
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
