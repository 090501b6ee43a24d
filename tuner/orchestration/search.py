"""A search from its description to its champion: check, open the ledger, run, promote."""

import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from ..errors import DataError, InterruptedSearchError, NoUsableTrialError, SyncError, UsageError
from ..evaluation.objective import neighbour_graph
from ..execution.address import check_address
from ..ledger.ledger import Ledger
from ..ledger.storage import name_taken, names_in, open_storage
from ..redaction import redact
from ..study.result import Result
from ..study.study import Plan, Study, prepare, slug
from ..tracking import Tracker, check
from ..tracking.trial_records import plan_tags, trial_record
from ..training.evaluations import read_evaluations
from .controller import SearchController, Watch
from .finalize import Finalizer
from .locations import Locations

if TYPE_CHECKING:
    from ..execution.cluster import Resources

_SYNC_SECONDS = 60.0
_HURRIED_SECONDS = 3.0
_SCHEMA = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a search is run and shown; nothing in it changes what is found."""

    locations: Locations
    resources: "Resources"
    time_budget: float | None = None
    watch: Watch | None = None
    say: Say = print

    def check(self) -> None:
        """Raise what is wrong with where things are, before anything is written."""
        self.locations.check()
        if self.resources.address is not None:
            check_address(self.resources.address)


def default_session() -> Session:
    """Return a session on this machine that says nothing."""
    from ..execution.cluster import Resources

    return Session(locations=Locations(), resources=Resources(), say=lambda _: None)


def search(study: Study, session: Session | None = None) -> Result:
    """Run a study to its end and return what it found; the champion is in the registry."""
    session = default_session() if session is None else session
    plan = prepare(study)
    session.check()
    taken = names_in(open_storage(session.locations.storage))
    name = study.name or _free_name(plan, taken)
    if name in taken:  # before tracking hears of it
        raise name_taken(name)
    plan = replace(plan, study=replace(plan.study, name=name))
    check(session.locations.tracking_uri)  # before the ledger says that there is a search
    record = {
        "study": plan.study.to_mapping(),
        "identity": plan.identity(),
        "searched": _searched(plan),
        "trials": plan.study.trials,
        "schema": _SCHEMA,
    }
    ledger = Ledger.create(session.locations.storage, name, record)
    for line in _introduction(plan, session.locations):
        session.say(line)
    return _run(plan, ledger, open_tracker(plan, session.locations), session)


def resume(name: str, session: Session | None = None, *, trials: int | None = None) -> Result:
    """Go on with a search where it was left; `trials` may ask for more of them."""
    session = default_session() if session is None else session
    session.check()
    ledger = Ledger.load(session.locations.storage, name)
    plan = plan_of(ledger)
    trials = ledger.size if trials is None else trials
    if trials < ledger.size:
        raise UsageError(
            f"--trials {trials}: search {name!r} already has {ledger.size}; give at least that"
        )
    concluded = ledger.attribute("result")
    if concluded is not None and trials == ledger.size:
        return Result.from_mapping(concluded)
    ledger.lease.acquire()  # before tracking hears of it
    try:
        if trials > ledger.size:
            # in this order: whatever is cut off here is done again, and nothing is forgotten
            ledger.set_attribute("result", None)
            ledger.set_attribute("finalists", {})
            ledger.resize(trials)
        tracking = open_tracker(plan, session.locations)
    except BaseException:
        ledger.close()
        raise
    return _run(plan, ledger, tracking, session)


def plan_of(ledger: Ledger) -> Plan:
    """Return the plan of a search in the ledger; what has changed since is refused."""
    record = ledger.record
    if record.get("schema", _SCHEMA) > _SCHEMA:
        raise UsageError(
            f"search {ledger.name!r} has schema {record['schema']}, this installation knows up to "
            f"{_SCHEMA}: upgrade tuner"
        )
    plan = prepare(Study.from_mapping(record["study"]))
    now, then = plan.identity(), record["identity"]
    if now["data"] != then["data"]:
        raise DataError(
            f"search {ledger.name!r} began on data {then['data'][:12]}… and {plan.study.dataset} "
            f"now holds {now['data'][:12]}…: put the data back, or start a new search"
        )
    if now != then:
        params = {**record.get("searched", {}), **then}
        changed = _differences(params, {**_searched(plan), **now})
        raise UsageError(
            f"search {ledger.name!r} began otherwise: {'; '.join(changed)}: "
            "restore that, or start a new search"
        )
    return plan


def _searched(plan: Plan) -> dict[str, Any]:
    """Return what every setting of a plan is drawn from or fixed to, by METHOD.SETTING."""
    found: dict[str, Any] = {}
    for name, branch in plan.branches.items():
        entries = {**branch.base, **branch.space.to_mapping()["space"]}
        found |= {f"{name}.{key}": entry for key, entry in entries.items()}
    return found


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs, in words; hashes only where nothing else does."""
    changed = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
    told = [key for key in changed if key != "spaces"] or changed
    return [
        f"{key} was {then.get(key, 'not there')} and is {now.get(key, 'not there')}"
        for key in told
    ]


def open_tracker(plan: Plan, locations: Locations) -> tuple[Tracker, str]:
    """Return a tracker of a search's runs, and the id of its parent run, found or created."""
    study = plan.study
    tracker = Tracker(
        locations.tracking_uri, experiment=slug(plan.dataset.name), search=str(study.name)
    )
    listed = {
        key: value if isinstance(value, int | float | str) else str(value)
        for key, value in study.to_mapping().items()
        if value not in (None, {}, [])
    }
    tags = plan_tags(plan, device="")
    return tracker, tracker.open(tags=tags, params=listed, dataset=plan.dataset)


def log_all_trials(
    plan: Plan, ledger: Ledger, tracker: Tracker, locations: Locations, device: str
) -> None:
    """Tell tracking every trial that has ended; what it knows already is not written again."""
    tags = plan_tags(plan, device=device)
    folder = locations.artifacts / ledger.name
    for entry in ledger.trials():
        if entry.state != "RUNNING":
            evaluations = read_evaluations(folder / f"trial-{entry.number:05d}")
            tracker.log(trial_record(plan, entry, evaluations, tags))


def _run(plan: Plan, ledger: Ledger, tracking: tuple[Tracker, str], session: Session) -> Result:
    from ..execution.cluster import Cluster

    tracker, parent_run = tracking
    interruption = _Interruption()
    patience = _SYNC_SECONDS
    try:
        with interruption.heeded():
            ledger.start(plan)
            graph = neighbour_graph(plan.dataset.train, fingerprint=plan.dataset.fingerprint)
            with Cluster(session.resources) as cluster:
                interruption.insist()
                session.locations.check_nodes(cluster.nodes)
                cluster.check_machines(session.locations.artifacts)
                cluster.send(plan.dataset, graph)
                controller = SearchController(
                    plan,
                    ledger,
                    tracker,
                    folder=session.locations.artifacts / ledger.name,
                    device=cluster.device,
                    watch=session.watch,
                )
                log_all_trials(plan, ledger, tracker, session.locations, cluster.device)
                with interruption.closing(controller), _budget(controller, session.time_budget):
                    cluster.run(controller)
                _check_trials(controller)
                finalizer = Finalizer(
                    plan, ledger, tracker, session.locations, parent_run, session.say
                )
                result = finalizer.run(cluster, seconds=controller.snapshot().seconds)
    except NoUsableTrialError:
        tracker.finish(metrics={}, tags={}, status="FAILED")
        raise
    except KeyboardInterrupt:
        patience = _HURRIED_SECONDS
        tracker.finish(metrics={}, tags={}, status="KILLED")
        left = f"with {ledger.remaining()} of {ledger.size} trials to go"
        raise InterruptedSearchError(
            f"interrupted {left}: go on with `tuner resume {ledger.name}`", interruption.signum
        ) from None
    finally:
        synced = tracker.close(patience)
        ledger.close()
    if not synced:
        raise SyncError(
            f"search {ledger.name!r} is complete, but tracking has not received all of it: "
            f"run `tuner sync {ledger.name}` once {session.locations.tracking_uri} answers",
            result,
        )
    return result


def _check_trials(controller: SearchController) -> None:
    """Raise unless the trials have left something to conclude from."""
    if controller.fault is not None:
        raise controller.fault
    if controller.closing == "interrupt":
        raise KeyboardInterrupt
    if controller.closing is not None:
        controller.end_remaining()
    if not any(row.value for row in controller.snapshot().best(1)):
        why = controller.detail or "every one failed, collapsed or was pruned"
        if controller.closing == "time budget":
            why = "the time budget ended before one was scored"
        name = controller.ledger.name
        raise NoUsableTrialError(f"no trial of {name!r} is usable: {why.strip()}")


@contextlib.contextmanager
def _budget(controller: SearchController, seconds: float | None) -> Iterator[None]:
    """Close the search after so many seconds."""
    timer = threading.Timer(seconds or 0.0, controller.close, ["time budget"])
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@final
class _Interruption:
    """What signals do: the first lets running trials save, the second ends all at once.

    Where no trials run, the first one ends all.
    """

    def __init__(self) -> None:
        self.signum: int = signal.SIGINT
        self._received = 0
        self._controller: SearchController | None = None

    @contextlib.contextmanager
    def heeded(self) -> Iterator[None]:
        """Take signals; only the main thread gets any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
        self.insist()
        try:
            yield
        finally:
            for signum, handler in before.items():
                if handler is not None:  # one that Python did not set
                    signal.signal(signum, handler)

    def insist(self) -> None:
        """Take signals again: Ray, as it starts, puts a handler that aborts in place of ours."""
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                signal.signal(signum, self._take)

    @contextlib.contextmanager
    def closing(self, controller: SearchController) -> Iterator[None]:
        """Close the trials at the first signal."""
        self._controller = controller
        try:
            yield
        finally:
            self._controller = None

    def _take(self, signum: int, _: object) -> None:
        self._received += 1
        if self._received == 1:
            self.signum = signum
            if self._controller is not None:
                self._controller.close("interrupt")
                return
        raise KeyboardInterrupt


def _introduction(plan: Plan, locations: Locations) -> list[str]:
    study, data = plan.study, plan.dataset
    return [
        f"search {study.name}: {', '.join(study.methods)} on {data.name} ({len(data.train):,} + "
        f"{len(data.test):,} points), {study.trials} trials of {study.replicas} replicas",
        f"ledger {redact(locations.storage)}, MLflow {redact(locations.tracking_uri)}, files "
        f"{locations.artifacts / str(study.name)}",
    ]


def _free_name(plan: Plan, taken: Collection[str]) -> str:
    """Return METHOD-DATA-n with the first n that is free."""
    methods = plan.study.methods
    first = methods[0] if len(methods) == 1 else "several"
    stem = f"{first}-{slug(plan.dataset.name)}"
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
