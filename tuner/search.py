"""A search from its description to its champion: check, open the ledger, run, promote."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .conductor import Conductor, Watch
from .errors import (
    DataError,
    InterruptedSearchError,
    NoUsableTrialError,
    SyncError,
    UsageError,
)
from .finale import Finale
from .ledger import Ledger, searches
from .objective import neighbour_graph
from .place import Place
from .projection import plan_tags, trial_record
from .redaction import redact
from .result import Result
from .study import Plan, Study, prepare, slug
from .tracking import Tracker, check
from .trial import curve

if TYPE_CHECKING:
    from .cluster import Cluster, Resources

_SYNC_SECONDS = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a search is run and shown; nothing in it changes what is found."""

    place: Place
    resources: "Resources"
    time_budget: float | None = None
    watch: Watch | None = None
    say: Say = print


def default_session() -> Session:
    """Return a session on this machine that says nothing."""
    from .cluster import Resources

    return Session(place=Place(), resources=Resources(), say=lambda _: None)


def search(study: Study, session: Session | None = None) -> Result:
    """Run a study to its end and return what it found; the champion is in the registry."""
    session = default_session() if session is None else session
    plan = prepare(study)
    session.place.check()
    name = study.name or _free_name(plan, session.place.storage)
    plan = replace(plan, study=replace(plan.study, name=name))
    check(session.place.tracking_uri)  # before the ledger says that there is a search
    record = {
        "study": plan.study.to_mapping(),
        "identity": plan.identity(),
        "trials": plan.study.trials,
        "schema": 1,
    }
    ledger = Ledger.open_search(session.place.storage, name, record)
    for line in _introduction(plan, session.place):
        session.say(line)
    return _run(plan, ledger, open_tracker(plan, session.place), session)


def resume(name: str, session: Session | None = None, *, trials: int | None = None) -> Result:
    """Go on with a search where it was left; `trials` may ask for more of them."""
    session = default_session() if session is None else session
    session.place.check()
    ledger = Ledger.reopen(session.place.storage, name)
    plan = plan_of(ledger)
    if trials is not None:
        _grow(ledger, trials)
    if (concluded := ledger.noted("result")) is not None:
        return Result.from_mapping(concluded)
    return _run(plan, ledger, open_tracker(plan, session.place), session)


def _grow(ledger: Ledger, trials: int) -> None:
    if trials < ledger.size:
        raise UsageError(
            f"--trials {trials}: search {ledger.name!r} already has {ledger.size}; "
            "give at least that"
        )
    if trials > ledger.size:
        ledger.lease.acquire()
        ledger.resize(trials)
        ledger.note("result", None)
        ledger.note("finalists", {})


def plan_of(ledger: Ledger) -> Plan:
    """Return the plan of a search in the ledger; what has changed since is refused."""
    record = ledger.record
    plan = prepare(Study.from_mapping(record["study"]))
    now, then = plan.identity(), record["identity"]
    if now["data"] != then["data"]:
        raise DataError(
            f"search {ledger.name!r} began on data {then['data'][:12]}… and {plan.study.dataset} "
            f"now holds {now['data'][:12]}…: put the data back, or start a new search"
        )
    changed = [
        f"{key} was {then.get(key)} and is {now.get(key)}"
        for key in sorted({*then, *now})
        if now.get(key) != then.get(key)
    ]
    if changed:
        raise UsageError(
            f"search {ledger.name!r} began otherwise: {'; '.join(changed)}; "
            "restore that, or start a new search"
        )
    return plan


def open_tracker(plan: Plan, place: Place) -> tuple[Tracker, str]:
    """Return a tracker of a search's runs, and the id of its parent run, found or created."""
    study = plan.study
    tracker = Tracker(
        place.tracking_uri, experiment=slug(plan.dataset.name), search=str(study.name)
    )
    listed = {
        key: value if isinstance(value, int | float | str) else str(value)
        for key, value in study.to_mapping().items()
        if value not in (None, {}, [])
    }
    tags = plan_tags(plan, device="")
    return tracker, tracker.open(tags=tags, params=listed, dataset=plan.dataset)


def project_all(plan: Plan, ledger: Ledger, tracker: Tracker, place: Place, device: str) -> None:
    """Tell tracking every trial that has ended; what it knows already is not written again."""
    tags = plan_tags(plan, device=device)
    folder = place.artifacts / ledger.name
    for entry in ledger.entries():
        if entry.state != "RUNNING":
            evaluations = curve(folder / f"trial-{entry.number:05d}")
            tracker.project(trial_record(plan, entry, evaluations, tags))


def _run(plan: Plan, ledger: Ledger, tracking: tuple[Tracker, str], session: Session) -> Result:
    from .cluster import Cluster

    tracker, parent_run = tracking
    ledger.start(plan)
    try:
        graph = neighbour_graph(plan.dataset.train, fingerprint=plan.dataset.fingerprint)
        with Cluster(session.resources) as cluster:
            session.place.check_nodes(cluster.nodes)
            cluster.send(plan.dataset, graph)
            conductor = Conductor(
                plan,
                ledger,
                tracker,
                folder=session.place.artifacts / ledger.name,
                device=cluster.device,
                watch=session.watch,
            )
            if len(ledger.entries()) > ledger.missing():
                project_all(plan, ledger, tracker, session.place, cluster.device)
            _run_trials(conductor, cluster, session)
            finale = Finale(plan, ledger, tracker, session.place, parent_run, session.say)
            result = finale.conclude(cluster, seconds=conductor.snapshot().seconds)
    finally:
        synced = tracker.close(_SYNC_SECONDS)
        ledger.close()
    if not synced:
        raise SyncError(
            f"search {ledger.name!r} is complete, but tracking has not received all of it: "
            f"run `tuner sync {ledger.name}` once {session.place.tracking_uri} answers"
        )
    return result


def _run_trials(conductor: Conductor, cluster: "Cluster", session: Session) -> None:
    ledger = conductor.ledger
    budget = threading.Timer(session.time_budget or 0, conductor.close, ["time budget"])
    if session.time_budget is not None:
        budget.daemon = True
        budget.start()
    with _signals(conductor) as received:
        cluster.run(conductor)
    budget.cancel()
    if conductor.closing == "interrupt":
        raise InterruptedSearchError(
            f"interrupted with {ledger.missing()} of {ledger.size} trials to go: "
            f"go on with `tuner resume {ledger.name}`",
            received[0],
        )
    if conductor.closing is not None:
        conductor.abandon()
    if not any(row.value for row in conductor.snapshot().best(1)):
        why = conductor.detail or "every one failed, collapsed or was pruned"
        raise NoUsableTrialError(f"no trial of {ledger.name!r} is usable: {why.strip()}")


@contextlib.contextmanager
def _signals(conductor: Conductor) -> Iterator[list[int]]:
    """Close the search at the first signal; a second one ends it at once."""
    received: list[int] = []

    def handle(signum: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signum)
        conductor.close("interrupt")

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _introduction(plan: Plan, place: Place) -> list[str]:
    study, data = plan.study, plan.dataset
    return [
        f"search {study.name}: {', '.join(study.methods)} on {data.name} ({len(data.train):,} + "
        f"{len(data.test):,} points), {study.trials} trials of {study.replicas} replicas",
        f"ledger {redact(place.storage)}, MLflow {redact(place.tracking_uri)}, files "
        f"{place.artifacts / str(study.name)}",
    ]


def _free_name(plan: Plan, storage: str) -> str:
    """Return METHOD-DATA-n with the first n that is free."""
    methods = plan.study.methods
    first = methods[0] if len(methods) == 1 else "several"
    stem, taken = f"{first}-{slug(plan.dataset.name)}", set(searches(storage))
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
