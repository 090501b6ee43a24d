"""Invariants of a search that has ended, checked in the ledger, in MLflow and on disk."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, final

from ..errors import TunerError
from ..ledger.ledger import Ledger
from ..ledger.outcomes import is_usable
from ..registry import CHAMPION, Registry, Version
from ..registry.bundle import fetch
from ..registry.promotion import open_registry
from ..sqlite import database_file
from ..tracking import connect
from ..training.checkpoint import WEIGHTS, CheckpointError, read_files
from ..training.saved_model import DOCUMENT, Model
from .locations import finalist_folder, finalist_models, trial_folder
from .lost import incomplete, known_lost

if TYPE_CHECKING:
    from ..ledger.records import TrialRecord
    from ..training.places import Place
    from .locations import Locations

_MAX_LISTED = 5
_ACCEPT = "what was deleted is not to be had again, and `tuner sync` takes note of that"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED", "RUNNING": "RUNNING"}


@final
@dataclass(frozen=True)
class Finding:
    """One invariant and how it is violated, an empty string if it holds."""

    invariant: str
    wrong: str

    @property
    def ok(self) -> bool:
        """Whether the invariant holds."""
        return not self.wrong

    def to_mapping(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {"invariant": self.invariant, "ok": self.ok, "wrong": self.wrong}


@dataclass(frozen=True)
class MlflowRun:
    """The MLflow run of a search, a trial or a finalist."""

    role: str
    number: int
    status: str
    tags: Mapping[str, str]
    value: float | None


@dataclass(frozen=True, kw_only=True)
class SearchState:
    """Everything that ledger, MLflow and disk hold about a search."""

    name: str
    size: int
    trials: "Sequence[TrialRecord]"
    finalists: Mapping[str, Any]
    result: Mapping[str, Any] | None
    lost: Sequence[str]
    runs: Sequence[MlflowRun]
    folder: "Place"
    tracking_uri: str

    def trial_runs(self) -> "list[tuple[MlflowRun, TrialRecord]]":
        """Return the MLflow runs of trials, each with its record in the ledger."""
        records = {trial.number: trial for trial in self.trials}
        return [
            (run, records[run.number])
            for run in self.runs
            if run.role == "trial" and run.number in records
        ]


def examine(name: str, locations: "Locations") -> list[Finding]:
    """Return every invariant of a search, and how it is violated."""
    state = load_state(name, locations)
    return [Finding(invariant, check(state)) for invariant, check in CHECKS.items()]


def load_state(name: str, locations: "Locations") -> SearchState:
    """Return what ledger, MLflow and disk hold about a search."""
    with Ledger.load(locations.storage, name) as ledger:
        return SearchState(
            name=name,
            size=ledger.size,
            trials=ledger.trials(),
            finalists=ledger.attribute("finalists") or {},
            result=ledger.attribute("result"),
            lost=known_lost(ledger),
            runs=_runs(name, locations.tracking_uri),
            folder=locations.artifacts / name,
            tracking_uri=locations.tracking_uri,
        )


def _all_ended(state: SearchState) -> str:
    done = sum(trial.state != "RUNNING" for trial in state.trials)
    return "" if done == state.size else f"{done} of {state.size} have ended"


def _contiguous(state: SearchState) -> str:
    numbers = [trial.number for trial in state.trials]
    return "" if numbers == list(range(len(numbers))) else f"they are {_listed(numbers)}"


def _none_running(state: SearchState) -> str:
    running = [trial.number for trial in state.trials if trial.state == "RUNNING"]
    return f"still running: trial {_listed(running)}" if running else ""


def _has_result(state: SearchState) -> str:
    if not state.result:
        return f"it has none: continue with `tuner resume {state.name}`"
    if state.result.get("pending") is not None:
        return f"its model is not registered yet: run `tuner sync {state.name}`"
    return ""


def _one_run_each(state: SearchState) -> str:
    expected = {("trial", trial.number) for trial in state.trials} | {("search", -1)}
    expected |= {("finalist", int(rank)) for rank in state.finalists}
    found = Counter((run.role, run.number) for run in state.runs)
    problems = {
        "missing": expected - found.keys(),
        "unknown": found.keys() - expected,
        "duplicate": {key for key, count in found.items() if count > 1},
    }
    wrong = [f"{kind}: {_listed(_run_names(keys))}" for kind, keys in problems.items() if keys]
    if problems["missing"]:
        wrong.append(f"run `tuner sync {state.name}` to add what is missing")
    if problems["duplicate"]:
        wrong.append(f"run `tuner sync {state.name}` to delete the second ones")
    return "; ".join(wrong)


def _same_outcomes(state: SearchState) -> str:
    differing = sorted(run.number for run, trial in state.trial_runs() if not _agrees(run, trial))
    wrong = f"they differ for trial {_listed(differing)}: run `tuner sync {state.name}`"
    return wrong if differing else ""


def _same_best(state: SearchState) -> str:
    usable = [trial for trial in state.trials if is_usable(trial)]
    usable_runs = [
        run
        for run, _ in state.trial_runs()
        if run.value is not None
        and run.tags.get("tuner.state") == "COMPLETE"
        and not run.tags.get("tuner.reason")
    ]
    best = {
        "ledger": _best_number((trial.value or 0.0, trial.number) for trial in usable),
        "MLflow": _best_number((run.value or 0.0, run.number) for run in usable_runs),
    }
    if state.result:
        best["result"] = state.result["best"]["number"]
    if len(set(best.values())) == 1:
        return ""
    return ", ".join(f"{source} says {number}" for source, number in best.items())


def _metrics_files_complete(state: SearchState) -> str:
    gone = [
        trial.number
        for trial in incomplete(state.trials, state.folder)
        if trial_folder(state.folder, trial.number).name not in state.lost
    ]
    which = f"trial {_listed(gone)} in {state.folder}"
    return f"metrics.jsonl is missing or truncated for {which}: {_ACCEPT}" if gone else ""


def _models_intact(state: SearchState) -> str:
    folders = [
        finalist_models(state.folder, int(rank), finalist["folder"]) / f"replica-{r}"
        for rank, finalist in state.finalists.items()
        if finalist_folder(state.folder, int(rank)).name not in state.lost
        for r in range(len(finalist["scores"]))
    ]
    problems = [problem for folder in folders if (problem := _model_problem(folder))]
    return "; ".join(problems[:_MAX_LISTED])


def _version_intact(state: SearchState) -> str:
    if not state.result:
        return "no version is registered yet"
    champion = state.result["champion"]
    if champion is None:  # none is to be registered, or not yet
        return ""
    name, number = champion["name"], champion["version"]
    problem = _version_problem(state, name, lambda registry: registry.version(name, number))
    return f"{problem}; `tuner sync {state.name}` registers a missing one" if problem else ""


def _champion_intact(state: SearchState) -> str:
    if not state.result:
        return "no version is registered yet"
    if state.result["champion"] is None:
        return ""
    name = state.result["champion"]["name"]
    return _version_problem(
        state, name, lambda registry: registry.version_by_alias(name, CHAMPION)
    )


def _promotions_complete(state: SearchState) -> str:
    if not state.result or state.result["champion"] is None:
        return ""
    name = state.result["champion"]["name"]
    try:
        owners = open_registry(state.tracking_uri, name).unfinished(name)
    except TunerError:  # told by the checks above
        return ""
    remedy = f"run `tuner sync {state.name}` to complete it"
    return f"it was begun by {_listed(owners)}: {remedy}" if owners else ""


CHECKS: Mapping[str, Callable[[SearchState], str]] = {
    "exactly N trials have ended": _all_ended,
    "trial numbers run from 0 to N - 1": _contiguous,
    "no trial is left running": _none_running,
    "the search has a result": _has_result,
    "MLflow has one run for the search, each trial and each finalist": _one_run_each,
    "ledger and MLflow agree on states and values": _same_outcomes,
    "ledger, MLflow and result name the same best trial": _same_best,
    "the trials' metrics files are as complete as the ledger": _metrics_files_complete,
    "the finalists' models match their hashes": _models_intact,
    "the registered version exists and is intact": _version_intact,
    "the champion alias points to an intact version": _champion_intact,
    "no promotion was left half-way": _promotions_complete,
}


def _runs(name: str, uri: str) -> list[MlflowRun]:
    path = database_file(uri)
    if path is not None and not path.is_file():  # connecting would create the file
        return []
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: list[MlflowRun] = []
    token = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`tuner.search` = '{name}'", page_token=token)
        found += [
            MlflowRun(
                role=run.data.tags.get("tuner.role", ""),
                number=int(run.data.tags.get("tuner.number", -1)),
                status=run.info.status,
                tags=dict(run.data.tags),
                value=run.data.metrics.get("value"),
            )
            for run in page
        ]
        token = page.token
        if not token:
            break
    return found


def _agrees(run: MlflowRun, trial: "TrialRecord") -> bool:
    same_value = trial.value is None or run.value == trial.value
    same_state = run.tags.get("tuner.state") == trial.state
    return same_value and same_state and run.status == _STATUS[trial.state]


def _version_problem(state: SearchState, name: str, find: Callable[[Registry], Version]) -> str:
    """Return why a registered version cannot be used, an empty string if it can."""
    try:
        registry = open_registry(state.tracking_uri, name)
        location = registry.location(find(registry))
        with TemporaryDirectory() as scratch:
            files = fetch(location, Path(scratch), uri=state.tracking_uri)
            for document in files.rglob(DOCUMENT):
                Model.load(document.parent)
                return ""
        return f"{location} contains no model"
    except TunerError as error:
        return str(error)
    except Exception as error:  # artifact stores raise errors of many types
        return f"{type(error).__name__}: {error}"


def _model_problem(folder: "Place") -> str:
    try:
        read_files(folder, (WEIGHTS, DOCUMENT))
    except CheckpointError as error:
        return str(error)
    return ""


def _best_number(pairs: Iterable[tuple[float, int]]) -> int | None:
    """Return the number with the highest value, the lowest of them if several share it."""
    return min(pairs, key=lambda pair: (-pair[0], pair[1]), default=(0.0, None))[1]


def _run_names(keys: Iterable[tuple[str, int]]) -> list[str]:
    return [role if number < 0 else f"{role} {number}" for role, number in sorted(keys)]


def _listed(items: Sequence[Any]) -> str:
    more = len(items) - _MAX_LISTED
    return ", ".join(map(str, items[:_MAX_LISTED])) + (f" and {more} more" if more > 0 else "")
